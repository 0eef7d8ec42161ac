"""Tensors are compared with variables before any is read, and read in the order asked for."""

import numpy as np
import pytest

import fastckpt
from fastckpt.errors import CheckpointError, ChecksumError, TensorNotFoundError
from fastckpt.train.fetch import check_tensors, read_tensors
from fastckpt.train.saver import Saver
from fastckpt.train.variables import named_variables

NAMES = [f"v{i:04d}" for i in range(3000)]


@pytest.fixture
def prefix(tmp_path):
    path = str(tmp_path / "m")
    fastckpt.write(path, {name: np.full(3, i, np.float32) for i, name in enumerate(NAMES)})
    return path


def variable(array):
    return named_variables({"w": array})["w"]


@pytest.mark.parametrize(
    ("array", "problem"),
    [(np.zeros(3), "dtype float64 .*dtype float32"), (np.zeros(4, np.float32), r".*\(4,\).*\(3,\)"),
     (np.zeros((3, 1), np.float32), r".*\(3, 1\).*\(3,\)")],
)  # fmt: skip
def test_tensor_that_does_not_fit_is_a_value_error_before_it_is_read(prefix, array, problem):
    with open(prefix + ".data-00000-of-00001", "r+b") as file:
        file.write(b"damaged")
    with fastckpt.read(prefix) as checkpoint:
        with pytest.raises(ValueError, match=f"'v0000': expected {problem}"):
            check_tensors(checkpoint, [(variable(array), "v0000")])
        with pytest.raises(ChecksumError):
            read_tensors(checkpoint, ["v0000"])


def test_missing_tensor_is_an_error(prefix):
    with fastckpt.read(prefix) as checkpoint, pytest.raises(TensorNotFoundError, match="'w'"):
        check_tensors(checkpoint, [(variable(np.zeros(3, np.float32)), "w")])


def test_reshaped_tensor_fits_where_it_is_asked_for(prefix):
    with fastckpt.read(prefix) as checkpoint:
        check_tensors(checkpoint, [(variable(np.zeros((3, 1), np.float32)), "v0001")], reshape=True)


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_tensors_are_read_in_the_order_asked_for(prefix, threads):
    keys = NAMES[::-7] + NAMES[:2]
    with fastckpt.read(prefix) as checkpoint:
        arrays = read_tensors(checkpoint, keys, threads=threads)

    assert [int(array[0]) for array in arrays] == [int(key[1:]) for key in keys]
    assert all(array.flags.writeable for array in arrays)


def test_views_are_read_only_and_copies_are_not(prefix):
    with fastckpt.read(prefix) as checkpoint:
        view, copy = (read_tensors(checkpoint, ["v0005"], copy=each)[0] for each in (None, True))

    assert not view.flags.writeable
    assert copy.flags.writeable


def test_saver_opens_a_checkpoint_once(prefix, monkeypatch):
    opened = []
    read = fastckpt.train.saver.read
    monkeypatch.setattr(
        "fastckpt.train.saver.read",
        lambda *args, **kwargs: opened.append(args) or read(*args, **kwargs),
    )
    values = {name: np.zeros(3, np.float32) for name in NAMES[:5]}

    Saver().restore(values, prefix)

    assert len(opened) == 1
    assert [array[0] for array in values.values()] == [0, 1, 2, 3, 4]


def test_save_between_opening_and_reading_is_not_mixed_in(prefix, monkeypatch):
    """Shapes are compared with the checkpoint that the tensors come from, or nothing changes."""
    values = {name: np.zeros(3, np.float32) for name in NAMES[:5]}

    def save_over_it(*args, **kwargs):
        check_tensors(*args, **kwargs)
        fastckpt.write(prefix, {name: np.full(7, -1.0) for name in NAMES})

    monkeypatch.setattr("fastckpt.train.saver.check_tensors", save_over_it)
    with pytest.raises(CheckpointError, match="saved again"):
        Saver().restore(values, prefix)

    assert not any(array.any() for array in values.values())
