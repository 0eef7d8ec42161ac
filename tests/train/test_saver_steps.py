"""`fastckpt.train` leaves the files that `tf.train` leaves, scenario by scenario (saver_steps.py).

What TensorFlow 1.15 did is recorded in golden/saver_steps.json:

    python3.7 tests/support/saver_steps.py FOLDER > tests/golden/saver_steps.json

The live tests run the TensorFlow at hand, and compare with the recording, too.
"""

import json
import subprocess

import pytest
import saver_steps
from places import GOLDEN
from saver_steps import SCENARIOS, Ours, unescape

from fastckpt import train

RECORDED = json.loads((GOLDEN / "saver_steps.json").read_text("utf-8"))
NAMES = [scenario.__name__ for scenario in SCENARIOS]


@pytest.fixture(scope="session")
def live(oracle, tmp_path_factory):
    """What the TensorFlow at hand does in each scenario."""
    folder = tmp_path_factory.mktemp("live")
    done = subprocess.run(
        [oracle.python, saver_steps.__file__, str(folder)],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


def test_there_are_scenarios_enough_and_each_is_recorded():
    assert len(NAMES) >= 50
    assert set(RECORDED) == {*NAMES, "version"}
    assert RECORDED["version"] == "1.15.5"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_does_what_tensorflow_did(tmp_path, scenario):
    result = saver_steps.run(lambda: Ours(train), scenario, str(tmp_path / "here"))

    assert result["log"] == RECORDED[scenario.__name__]["log"]
    assert result["files"] == RECORDED[scenario.__name__]["files"]


@pytest.mark.parametrize("name", NAMES)
def test_recording_is_what_tensorflow_does(live, name):
    recorded = RECORDED[name]

    assert live[name] == (recorded if live["version"].startswith("1.") else unescape(recorded))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_does_what_tensorflow_does(live, tmp_path, scenario):
    result = saver_steps.run(lambda: Ours(train), scenario, str(tmp_path / "here"))

    assert live[scenario.__name__] == (
        result if live["version"].startswith("1.") else unescape(result)
    )
