"""What every error is, says and keeps."""

import copy
import pickle
import re
import shutil

import numpy as np
import pytest

import fastckpt
from fastckpt.errors import (
    CheckpointError,
    ChecksumError,
    Fault,
    FormatError,
    TensorNotFoundError,
    UnsupportedError,
)

# `<path>: <what> [at <offset>]: expected <x>, got <y>`; "but" stands where there is no other value.
# Some faults of the C core have a shorter name for it.
PROBLEM = r"expected .+, (?:got|but) .+|truncated: needs .+|shape overflows .+|key shares .+"
MESSAGE = re.compile(rf"(?P<path>/[^:]*): (?P<what>.+?): (?:{PROBLEM})", re.DOTALL)


def not_found(names=("weights",)):
    return TensorNotFoundError("/a/m", "wieghts", lambda: names)


ERRORS = {
    CheckpointError: ("/a/m.index", "index", "expected this, got that"),
    FormatError: ("/a/m.index", "entry of tensor 'v' at 7", "expected this, got that"),
    ChecksumError: ("/a/m.index", "block 0 at 0", 1, 0xFFFFFFFF),
    UnsupportedError: ("/a/m.index", "block 0 at 0", "expected compression 0, got 9"),
    TensorNotFoundError: ("/a/m", "wieghts", lambda: ["weights"]),
}


@pytest.fixture(params=ERRORS, ids=lambda kind: kind.__name__)
def error(request):
    """One of every kind, which nobody has printed yet."""
    return request.param(*ERRORS[request.param])


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (FormatError, (CheckpointError, ValueError)),
        (ChecksumError, (FormatError, CheckpointError, ValueError)),
        (UnsupportedError, (CheckpointError, NotImplementedError)),
        (TensorNotFoundError, (CheckpointError, KeyError)),
    ],
)
def test_error_can_be_caught_as_ours_and_as_pythons(error, bases):
    assert issubclass(error, bases[0])
    assert all(issubclass(error, base) for base in bases)


def test_error_is_never_an_os_error():
    assert not any(issubclass(kind, OSError) for kind in ERRORS)


def test_errors_are_public():
    for kind in ERRORS:
        assert getattr(fastckpt, kind.__name__) is kind


def test_error_names_path_and_thing(error):
    assert error.path.startswith("/a/m")
    assert str(error).startswith(f"{error.path}: {error.what}: ")


def test_checksum_error_has_both_checksums_and_spells_them():
    error = ChecksumError("/a/m.index", "block 0 at 0", 1, 0xFFFFFFFF)

    assert (error.expected, error.actual) == (1, 0xFFFFFFFF)
    assert str(error) == "/a/m.index: block 0 at 0: expected CRC-32C 0x00000001, got 0xffffffff"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_error_survives_pickling(error, protocol):
    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.path, again.what) == (error.path, error.what)
    for attribute in ("expected", "actual", "name", "closest"):
        assert getattr(again, attribute, None) == getattr(error, attribute, None)


def test_error_survives_copying(error):
    assert str(copy.copy(error)) == str(error)


def test_name_that_is_not_there_is_told_with_the_closest_ones():
    error = not_found(["bias", "weights"])

    assert error.name == "wieghts"
    assert str(error) == "/a/m: tensor 'wieghts': not in this checkpoint; did you mean 'weights'?"


def test_message_without_a_close_name_suggests_none():
    assert str(not_found(["zzz"])) == "/a/m: tensor 'wieghts': not in this checkpoint"


def test_last_part_of_a_path_is_enough_to_be_suggested():
    names = sorted([*(f"a/{i:05d}/x" for i in range(5000)), "model/layer_1/dense/kernel"])
    error = TensorNotFoundError("/a/m", "layer_1/dense/kernel:0", lambda: names)

    assert error.closest == ("model/layer_1/dense/kernel",)


def test_names_are_not_asked_for_before_the_message_is():
    asked = []
    error = TensorNotFoundError("/a/m", "x", lambda: asked.append(1) or ["x1"])

    assert not asked
    assert "'x1'" in str(error) and "'x1'" in str(error)
    assert len(asked) == 1


def test_names_that_cannot_be_had_leave_the_message_short():
    def closed():
        raise ValueError("closed")

    error = TensorNotFoundError("/a/m", "x", closed)

    assert str(error) == "/a/m: tensor 'x': not in this checkpoint"


def test_error_of_a_closed_checkpoint_can_be_printed_and_pickled(tmp_path):
    fastckpt.write(tmp_path / "m", {"weights": 1}, sync=False)
    with (
        pytest.raises(TensorNotFoundError) as caught,
        fastckpt.read(tmp_path / "m") as checkpoint,
    ):
        checkpoint["wieghts"]

    assert pickle.loads(pickle.dumps(caught.value)).name == "wieghts"
    assert "not in this checkpoint" in str(caught.value)


def collect_messages(prefix):
    """Every error of ours that reading a checkpoint in every way raises."""
    errors = []
    try:
        checkpoint = fastckpt.read(prefix)
    except CheckpointError as error:
        return [error]
    with checkpoint:
        errors.extend(e for e in checkpoint.problems() if isinstance(e, CheckpointError))
        try:
            names = list(checkpoint)
        except CheckpointError as error:
            return [*errors, error]
        for name in names:
            for get in (checkpoint.info, checkpoint.get_tensor):
                try:
                    get(name)
                except CheckpointError as error:
                    errors.append(error)
                except OSError:
                    pass
    return errors


def test_every_fault_of_the_corpus_is_told_with_path_thing_expected_and_got(golden):
    faults = [f for f in sorted((golden / "corrupt").iterdir()) if not f.name.startswith("v1_")]
    assert len(faults) > 30

    told = {}
    for fault in faults:
        prefix = next(fault.glob("*.index")).with_suffix("")
        told[fault.name] = collect_messages(prefix)

    silent = {name for name, errors in told.items() if not errors}
    assert silent <= {"shard_missing", "num_shards_too_large"}  # those are OSErrors
    for name, errors in told.items():
        for error in errors:
            match = MESSAGE.fullmatch(str(error))
            assert match, f"{name}: {error}"
            assert match["path"] == error.path, str(error)
            assert str(golden / "corrupt" / name) in error.path
            place = "" if error.offset is None else f" at {error.offset}"
            assert match["what"] == error.what + place


@pytest.mark.parametrize(
    ("offset", "what"),
    [
        (0, r"block 0 at 0"),
        (-1, r"table footer at \d+"),
    ],
)
def test_fault_in_the_index_is_told_with_its_offset(tmp_path, offset, what):
    fastckpt.write(tmp_path / "m", {"a": np.arange(3)}, sync=False)
    index = tmp_path / "m.index"
    data = bytearray(index.read_bytes())
    data[offset] ^= 0xFF
    index.write_bytes(data)

    with pytest.raises(FormatError, match=f"^{re.escape(str(index))}: {what}: expected .*, got "):
        list(fastckpt.read(tmp_path / "m"))


def test_fault_in_the_data_is_told_with_tensor_and_offset(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.arange(3), "b": np.arange(4)}, sync=False)
    shard = tmp_path / "m.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[64] ^= 1
    shard.write_bytes(data)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        expected = checkpoint.info("b").crc32c

        with pytest.raises(ChecksumError) as caught:
            checkpoint.get_tensor("b", copy=True)

    error = caught.value
    assert error.path == str(shard)
    assert (error.what, error.tensor, error.offset) == ("tensor 'b'", "b", 64)
    assert error.fault is Fault.CHECKSUM
    assert error.expected == expected != error.actual
    assert str(error) == (
        f"{shard}: tensor 'b' at 64: expected CRC-32C {expected:#010x}, got {error.actual:#010x}"
    )


def test_os_error_passes_through_untouched(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.arange(3)}, sync=False)
    shutil.copy(tmp_path / "m.index", tmp_path / "n.index")

    with pytest.raises(FileNotFoundError) as caught:
        fastckpt.read(tmp_path / "n")["a"]

    assert not isinstance(caught.value, CheckpointError)
    assert caught.value.filename == str(tmp_path / "n.data-00000-of-00001")
    assert "data file 1 of 1 is missing" in str(caught.value)
