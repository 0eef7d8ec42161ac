"""`fastckpt.train` does what `tf.train` does with odd paths, clocks and variables, too
(saver_scenarios.py).

What TensorFlow 1.15 did is recorded in golden/saver_scenarios.json:

    python3.7 tests/support/saver_scenarios.py FOLDER > tests/golden/saver_scenarios.json

The live test compares the TensorFlow at hand with the recording.
"""

import json
import subprocess

import pytest
import saver_scenarios
from places import GOLDEN
from saver_scenarios import SCENARIOS
from saver_steps import Ours, unescape

from fastckpt import train

RECORDED = json.loads((GOLDEN / "saver_scenarios.json").read_text("utf-8"))
NAMES = [scenario.__name__ for scenario in SCENARIOS]


@pytest.fixture(scope="module")
def live(oracle, tmp_path_factory):
    """What the TensorFlow at hand does in each scenario."""
    folder = tmp_path_factory.mktemp("live")
    done = subprocess.run(
        [oracle.python, saver_scenarios.__file__, str(folder)],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


def test_there_are_scenarios_enough_and_each_is_recorded():
    assert len(NAMES) == len(set(NAMES)) >= 70
    assert set(RECORDED) == {*NAMES, "version"}
    assert RECORDED["version"] == "1.15.5"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_does_what_tensorflow_did(tmp_path, scenario):
    result = saver_scenarios.run(lambda: Ours(train), scenario, str(tmp_path / "here"))

    recorded = RECORDED[scenario.__name__]
    assert result["log"] == recorded["log"]
    assert result["files"] == recorded["files"]
    assert result["folders"] == recorded["folders"]


@pytest.mark.parametrize("name", NAMES)
def test_recording_is_what_tensorflow_does(live, name):
    recorded = RECORDED[name]

    assert live[name] == (recorded if live["version"].startswith("1.") else unescape(recorded))
