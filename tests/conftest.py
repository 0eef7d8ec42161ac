"""Fixtures: the golden corpus, and real TensorFlow where there is one.

The live tests are those that use the fixture `oracle`. They ask the TensorFlow of this
interpreter, or, with the environment variable FASTCKPT_TF1_PYTHON set to a Python 3.7 that has
TensorFlow 1.15, that one. On Linux x86-64 with Python 3.11, and with FASTCKPT_TF1_PYTHON
anywhere, a TensorFlow that does not start is an error. Elsewhere TensorFlow may have no wheel:
where it is not installed the live tests are deselected, the golden files stand in, and the run
says so at its end.

The tests of the HTML report in a browser are left out, and the run says that, too, where there is
no chromium with its driver, or no selenium. So are those that let file-system calls go wrong, where
the layer that does it cannot be built.
"""

import importlib.util
import os
import platform
import shutil
import sys

import pytest
from faults import layer
from oracle import Oracle
from places import GOLDEN

TF1_PYTHON = os.environ.get("FASTCKPT_TF1_PYTHON")
if TF1_PYTHON and os.path.dirname(TF1_PYTHON):
    TF1_PYTHON = os.path.abspath(TF1_PYTHON)  # for tests that run it in another folder
MUST_BE_LIVE = bool(TF1_PYTHON) or (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and platform.python_implementation() == "CPython"
    and sys.version_info[:2] == (3, 11)
)
LEFT_OUT = pytest.StashKey[list[str]]()  # sentences for the end of the run
NO_TENSORFLOW = (
    "TensorFlow is not installed here: {} live tests were left out, and the files that it wrote "
    "(tests/golden) stood in for it."
)
NO_BROWSER = (
    "No chromium, chromedriver or selenium here: {} tests of the HTML report in a browser were "
    "left out."
)
NO_FAULTS = (
    "Not Linux, or no C compiler: {} tests that let file-system calls go wrong were left out."
)


def pytest_configure(config):
    # processes that tests start find the same modules
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, config.getini("pythonpath")))
    config.addinivalue_line(
        "markers", "tensorflow: imports TensorFlow beside fastckpt in one process"
    )
    config.addinivalue_line("markers", "browser: drives chromium")
    config.addinivalue_line(
        "markers", "faults: lets file-system calls go wrong; Linux with a C compiler"
    )
    config.addinivalue_line("markers", "live: asks a real TensorFlow; given to those that do")


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marker
def pytest_collection_modifyitems(config, items):
    config.stash[LEFT_OUT] = []
    for item in items:
        if is_live(item):
            item.add_marker("live")
    if TF1_PYTHON:
        deselect(config, items, "tensorflow")
    elif not MUST_BE_LIVE and importlib.util.find_spec("tensorflow") is None:
        deselect(config, items, "live", NO_TENSORFLOW)
    if not has_browser():
        deselect(config, items, "browser", NO_BROWSER)
    if not layer.is_available():
        deselect(config, items, "faults", NO_FAULTS)


def has_browser():
    programs = all(map(shutil.which, ("chromium", "chromedriver")))
    return programs and importlib.util.find_spec("selenium") is not None


def deselect(config, items, marker, sentence=None):
    """Leave out what has a marker; the run says so at its end."""
    left_out = [item for item in items if item.get_closest_marker(marker)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    if left_out and sentence:
        config.stash[LEFT_OUT].append(sentence.format(len(left_out)))


def is_live(item):
    return "oracle" in getattr(item, "fixturenames", ()) or item.get_closest_marker("tensorflow")


def pytest_terminal_summary(terminalreporter, config):
    for sentence in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(sentence, yellow=True)


@pytest.fixture(scope="session")
def golden():
    """The folder of checkpoints that TensorFlow wrote."""
    return GOLDEN


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process that lets file-system calls go wrong."""
    from faults.server import Server

    with Server(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="session")
def oracle():
    """TensorFlow, for the whole session."""
    with_tensorflow = Oracle(TF1_PYTHON or sys.executable)
    yield with_tensorflow
    with_tensorflow.close()
