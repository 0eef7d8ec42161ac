"""The numbers of tensors, and the tree of their names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import fastckpt
from fastckpt.analysis.optimizer import list_optimizer_names


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32, st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32, allow_nan=False)
    )
)
def test_numbers_are_those_of_numpy(array):
    found = fastckpt.summarize(array, "float32")

    wide = array.astype(np.float64)
    assert (found.min, found.max) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-12, abs=1e-9)
    assert found.std == pytest.approx(wide.std(), rel=1e-9, abs=1e-9)
    assert found.zeros == (wide == 0).sum()
    assert sum(found.histogram.counts) == len(wide)


def test_nan_and_infinities_are_counted_apart():
    found = fastckpt.summarize(np.array([1.0, np.nan, np.inf, -np.inf, 3.0]), "float64")

    assert (found.nans, found.infs) == (1, 2)
    assert (found.min, found.max, found.mean, found.std) == (1, 3, 2, 1)


def test_nothing_finite_has_no_numbers():
    for array in (np.zeros(0), np.full(3, np.nan)):
        found = fastckpt.summarize(array, "float64")

        assert (found.min, found.max, found.mean, found.std) == (None,) * 4
        assert found.histogram is None


def test_large_integers_are_exact():
    found = fastckpt.summarize(np.array([2**63 - 1, -(2**63), 2**53 + 1]), "int64")

    assert (found.min, found.max) == (-(2**63), 2**63 - 1)


def test_many_chunks_are_one_tensor(tmp_path):
    array = np.random.default_rng(0).normal(5, 2, 1_000_003)
    fastckpt.write(tmp_path / "m", {"a": array}, sync=False)

    found = fastckpt.stats(tmp_path / "m", bins=32)["a"]

    assert found.mean == pytest.approx(array.mean(), rel=1e-13)
    assert found.std == pytest.approx(array.std(), rel=1e-13)
    assert sum(found.histogram.counts) == len(array)


def test_extremes_of_float64_never_warn():
    found = fastckpt.summarize(np.array([-1.7e308, 1.7e308, 5e-324]), "float64")

    assert (found.min, found.max) == (-1.7e308, 1.7e308)


def test_strings_are_known_by_their_lengths():
    found = fastckpt.summarize(np.array([b"", b"abc"], object), "string")

    assert (found.min, found.max, found.mean, found.zeros) == (0, 3, 1.5, 1)


@pytest.mark.parametrize("case", ["tf2_dtypes", "tf1_dtypes", "tf2_variant", "v1_dtypes"])
def test_every_dtype_of_tensorflow_has_numbers_or_none(golden, case):
    path = next(
        path
        for path in sorted((golden / case).iterdir())
        if path.suffix == ".index" or case.startswith("v1") and path.suffix != ".json"
    )

    found = fastckpt.stats(path, bins=32)

    infos = {info.name: info for info in fastckpt.list_tensors(path)}
    assert list(found) == list(infos)
    for name, each in found.items():
        assert (each.dtype, each.shape) == (infos[name].tf_dtype, infos[name].shape)


def test_tree_adds_up(golden):
    tree = fastckpt.tree(golden / "tf2_keras3" / "keras")

    infos = fastckpt.list_tensors(golden / "tf2_keras3" / "keras")
    assert tree.count == len(infos) == sum(child.count for child in tree.children.values())
    assert tree.nbytes == sum(info.nbytes for info in infos)
    assert "moving_mean" in str(tree)


def test_tree_of_a_name_of_slashes_ends(tmp_path):
    fastckpt.write(tmp_path / "m", {"/" * 5000: np.zeros(1)}, sync=False)

    assert len(str(fastckpt.tree(tmp_path / "m")).splitlines()) < 200


def test_optimizer_of_keras_3_owns_no_weights(golden):
    found = list_optimizer_names(golden / "tf2_keras3" / "keras")

    assert len(found) == 14
    assert not any("_trainable_variables" in name for name in found)


def test_optimizer_names_by_name_and_shape(tmp_path):
    tensors = {
        "w": np.zeros((2, 3)), "w/Adam": np.zeros((2, 3)), "w/Momentum": np.zeros(3),
        "Adam": np.zeros(3), "beta1_power": np.zeros(()),
        "w/ExponentialMovingAverage": np.zeros((2, 3)),
    }  # fmt: skip
    fastckpt.write(tmp_path / "m", tensors, sync=False)

    assert list_optimizer_names(tmp_path / "m") == ["beta1_power", "w/Adam"]
