"""The mapping that every format is: what it does beside giving tensors, and its lazy handles."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from places import GOLDEN

import fastckpt

VALUES = {"b": np.arange(3, dtype=np.int64), "w": np.arange(12, dtype=np.float32).reshape(3, 4)}


@pytest.fixture(params=["V2", "V1"])
def checkpoint(request, tmp_path):
    path = tmp_path / "m"
    if request.param == "V2":
        fastckpt.write(path, VALUES, sync=False)
    else:
        from fastckpt.v1.writer import write_v1

        write_v1(str(path), VALUES)
    with fastckpt.read(path) as opened:
        assert opened.format == request.param
        yield opened


def test_checkpoint_itself_cannot_be_made():
    with pytest.raises(TypeError, match=r"fastckpt\.read"):
        fastckpt.Checkpoint("x", "V9", -1, 1, "middle")


def test_format_that_lacks_a_method_cannot_be_made():
    class Half(fastckpt.Checkpoint):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_match_takes_a_tensor_and_the_rest(checkpoint):
    match checkpoint:
        case {"missing": _}:
            pytest.fail("there is no such tensor")
        case {"w": w, **rest}:
            np.testing.assert_array_equal(w, VALUES["w"])
            assert list(rest) == ["b"]
        case _:
            pytest.fail("a checkpoint is a mapping")


def test_weak_reference_dies_with_its_checkpoint(tmp_path):
    fastckpt.write(tmp_path / "m", VALUES, sync=False)
    checkpoint = fastckpt.read(tmp_path / "m")
    reference = weakref.ref(checkpoint)
    assert reference() is checkpoint
    checkpoint.close()
    del checkpoint
    gc.collect()
    assert reference() is None


def test_keys_are_completed(checkpoint):
    assert checkpoint._ipython_key_completions_() == ["b", "w"]


def test_checkpoint_equals_itself_only_and_is_a_key(checkpoint):
    with fastckpt.read(checkpoint.path) as other:
        assert checkpoint == checkpoint
        assert checkpoint != other
        assert checkpoint != VALUES
        assert {checkpoint: 1, other: 2}[checkpoint] == 1


def test_get_of_what_is_no_name_is_the_default(checkpoint):
    assert checkpoint.get(5, "default") == "default"


@pytest.mark.parametrize("name", ["path", "format", "num_shards", "version", "byteorder"])
def test_what_was_opened_is_said(checkpoint, name):
    assert getattr(checkpoint, name) is not None


def test_handle_says_its_size(checkpoint):
    handle = checkpoint.get_slice("w")
    assert (handle.ndim, handle.size, handle.nbytes, len(handle)) == (2, 12, 48, 3)


def test_handle_is_read_at_once_as_an_array(checkpoint, monkeypatch):
    handle = checkpoint.get_slice("w")

    def fail(*args):
        raise AssertionError("element by element")

    monkeypatch.setattr(fastckpt.TensorSlice, "__getitem__", fail)
    np.testing.assert_array_equal(np.asarray(handle), VALUES["w"])
    assert np.asarray(handle, np.float64).dtype == np.float64


def test_handle_is_pickled_with_its_checkpoint(checkpoint):
    handle = pickle.loads(pickle.dumps(checkpoint.get_slice("w")))
    np.testing.assert_array_equal(handle[1:], VALUES["w"][1:])


def test_handle_has_no_room_for_other_attributes(checkpoint):
    with pytest.raises(AttributeError):
        checkpoint.get_slice("w").other = 1


def test_part_is_what_the_handle_gives():
    with fastckpt.read(GOLDEN / "tf1_partitioned" / "model.ckpt") as checkpoint:
        name = next(info.name for info in checkpoint.infos() if info.slices)
        index = (slice(1, None), ...)
        np.testing.assert_array_equal(
            checkpoint.read_part(name, index), checkpoint.get_slice(name)[index]
        )
