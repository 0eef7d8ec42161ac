"""The verbs that rescue: salvage, complete, discard."""

import os

import numpy as np
import pytest
from command_line import TENSORS, call_json

import fastckpt


@pytest.fixture
def interrupted(source):
    """A checkpoint whose save was killed before its last step."""
    os.rename(f"{source}.index", f"{source}.index.tmp-{'0' * 16}")
    return source


def test_salvage_of_a_whole_checkpoint_saves_every_tensor(call, source, out):
    report = call_json(call, "salvage", source, out)

    assert report["out"] == out
    assert sorted(report["saved"]) == sorted(TENSORS)
    assert not report["lost"] and not report["unreadable"]
    with fastckpt.read(out) as saved:
        saved.verify()
        for name, value in TENSORS.items():
            np.testing.assert_array_equal(saved[name], value)


def test_salvage_tells_a_lost_tensor_by_its_status(call, golden, out):
    broken = golden / "corrupt" / "payload_flip" / "ckpt"

    report = call_json(call, "salvage", broken, out, status=1)

    assert report["lost"]
    with fastckpt.read(out) as saved:
        saved.verify()
        assert sorted(saved) == sorted(report["saved"])
        assert not set(saved) & set(report["lost"])


def test_salvage_replaces_a_checkpoint_only_with_force(call, source, out):
    fastckpt.write(out, {"old": np.zeros(1)}, sync=False)

    status, _, err = call("salvage", source, out)

    assert status == 2
    assert "--force" in err
    assert list(fastckpt.read(out)) == ["old"]
    assert call("salvage", source, out, "--force")[0] == 0
    assert sorted(fastckpt.read(out)) == sorted(TENSORS)


def test_complete_ends_an_interrupted_save(call, interrupted):
    assert call("ls", interrupted)[0] == 2

    assert call("complete", interrupted) == (0, f"{interrupted}: completed\n", "")

    assert call("verify", interrupted)[0] == 0
    assert call_json(call, "complete", interrupted) == {"path": interrupted, "completed": False}


def test_complete_of_damaged_data_changes_nothing(call, interrupted):
    with open(f"{interrupted}.data-00000-of-00001", "r+b") as file:
        file.write(b"\xff")
    before = sorted(os.listdir(os.path.dirname(interrupted)))

    status, out, err = call("complete", interrupted)

    assert status != 0 and out == ""
    assert "model/" in err
    assert sorted(os.listdir(os.path.dirname(interrupted))) == before


def test_discard_removes_what_was_staged(call, interrupted):
    assert call_json(call, "discard", interrupted) == {"path": interrupted, "discarded": True}

    assert not any(".tmp-" in name for name in os.listdir(os.path.dirname(interrupted)))


@pytest.mark.parametrize("verb", ["complete", "discard"])
def test_checkpoint_that_is_whole_stays_as_it_is(call, source, verb):
    assert call(verb, source) == (0, f"{source}: no save was interrupted\n", "")

    assert call("verify", source)[0] == 0
