"""The layout of weights that Keras reads and writes."""

import zipfile

import h5py
import numpy as np
import pytest
from formats import keras_file, lists, round_trip
from fresh import run

import fastckpt
from fastckpt.interop.convert import convert


def test_h5_lists_the_weights_of_layers_in_the_order_in_which_keras_makes_them(tmp_path):
    norm = ["beta", "gamma", "moving_mean", "moving_variance"]
    names = ["conv/bias", "conv/kernel", *[f"norm/{name}" for name in norm], "step"]
    names += [f"lstm/cell/{name}" for name in ("bias", "kernel", "recurrent_kernel", "zoneout")]
    fastckpt.write(tmp_path / "a.ckpt", {name: np.zeros(2) for name in names})

    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file.attrs["layer_names"]) == [b"conv", b"lstm", b"norm"]
        weights = {
            name: list(file[name].attrs["weight_names"]) for name in ("conv", "lstm", "norm")
        }
    assert weights == {
        "conv": [b"kernel", b"bias"],
        "lstm": [b"cell/kernel", b"cell/recurrent_kernel", b"cell/bias", b"cell/zoneout"],
        "norm": [b"gamma", b"beta", b"moving_mean", b"moving_variance"],
    }


def test_lists_too_long_for_one_attribute_are_cut_as_keras_cuts_them(tmp_path):
    names = [f"{'layer' * 20}_{i:04}/w" for i in range(1000)]
    fastckpt.write(tmp_path / "a.ckpt", {name: np.float32(0) for name in names})

    convert(tmp_path / "a.ckpt", tmp_path / "a.h5")

    with h5py.File(tmp_path / "a.h5") as file:
        assert "layer_names" not in file.attrs
        listed = [name.decode() for i in (0, 1) for name in file.attrs[f"layer_names{i}"]]
    assert listed == [name[:-2] for name in names]


def test_legacy_weights_are_called_as_keras_calls_them(tmp_path):
    weights = {
        "dense": {"dense/kernel:0": np.zeros((2, 1)), "dense/bias:0": np.ones(1)},
        "relu": {},
    }
    keras_file(tmp_path / "a.h5", weights)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["dense/bias", "dense/kernel"]


def test_legacy_weights_of_one_name_are_told_apart_by_their_layers(tmp_path):
    weights = {
        "a": {"d/kernel:0": np.zeros(1), "d/bias:0": np.zeros(1)},
        "b": {"d/bias:0": np.ones(1)},
    }
    keras_file(tmp_path / "a.h5", weights)

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    names = list(fastckpt.read(tmp_path / "a.ckpt"))
    assert names == ["a/d/bias:0", "b/d/bias:0", "d/kernel"]


def test_whole_model_gives_its_weights_and_those_of_its_optimizer(tmp_path):
    keras_file(tmp_path / "a.h5", {"dense": {"dense/bias:0": np.ones(1)}}, top="model_weights")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["optimizer_weights/Adam/m:0"] = np.zeros(1)
        file["optimizer_weights"].attrs["weight_names"] = [b"Adam/m:0"]

    convert(tmp_path / "a.h5", tmp_path / "a.ckpt")

    assert list(fastckpt.read(tmp_path / "a.ckpt")) == ["dense/bias", "optimizer_weights/Adam/m"]


def test_names_that_end_as_those_of_keras_come_back(tmp_path):
    before, after = round_trip(tmp_path, {"a/w:0": np.zeros(1), "a/a/w:0": np.ones(1)}, "hdf5")

    assert after == before


KERAS = """
    import os, sys
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    import keras
    import numpy as np
    from fastckpt.interop.convert import convert

    layers = keras.layers

    def make(seed):
        keras.utils.set_random_seed(seed)
        stack = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"),
                 layers.Reshape((36, 4)), layers.GRU(3, name="gru"), layers.Dense(5, name="head")]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack], name="net")
        model.set_weights([np.random.default_rng(seed).random(w.shape) for w in model.weights])
        return model

    def is_same(one, other):
        return all(map(np.array_equal, one.get_weights(), other.get_weights()))

    os.chdir(sys.argv[1])
    model, legacy, new = make(1), make(2), make(3)
    assert not is_same(model, legacy) and not is_same(model, new)

    model.save("model.h5")
    convert("model.h5", "legacy.ckpt")
    convert("legacy.ckpt", "legacy.h5", rename=[("^net/", ""), ("gru_cell/", "")])
    legacy.load_weights("legacy.h5", by_name=True)

    model.save_weights("model.weights.h5")
    convert("model.weights.h5", "new.ckpt")
    convert("new.ckpt", "new.weights.h5")
    new.load_weights("new.weights.h5")

    print(is_same(model, legacy), is_same(model, new))
"""


@pytest.mark.tensorflow
def test_keras_loads_what_came_from_keras_through_a_checkpoint(tmp_path):
    assert run(KERAS, tmp_path, timeout=120).split() == ["True", "True"]


# ---- The archive of a Keras 3 model


def write_archive(path, weights, **options):
    """What Keras 3 saves, with a file of weights."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", weights)


def make_weights(path):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.arange(6.0).reshape(2, 3)
        file["optimizer/vars/0"] = np.int64(3)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["model.keras", "model", "model.zip"])
def test_archive_of_keras_gives_its_weights_by_their_paths(tmp_path, name):
    write_archive(tmp_path / name, make_weights(tmp_path / "w.h5"))

    convert(tmp_path / name, tmp_path / "a.ckpt")

    found = lists(fastckpt.load(tmp_path / "a.ckpt"))
    assert found == {"layers/dense/vars/0": [[0, 1, 2], [3, 4, 5]], "optimizer/vars/0": 3}


@pytest.mark.parametrize(
    ("weights", "options"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), {}),
        (b"", {}),
        (bytes(1 << 20), {"compression": zipfile.ZIP_DEFLATED}),
    ],
    ids=["broken", "empty", "packed"],
)
def test_archive_of_keras_without_weights_is_named(tmp_path, target, weights, options):
    write_archive(tmp_path / "model.keras", weights, **options)

    with pytest.raises(fastckpt.CheckpointError, match=r"model\.keras: .*"):
        convert(tmp_path / "model.keras", target)


def test_weights_that_claim_more_than_the_archive_has_are_broken(tmp_path, target):
    weights = make_weights(tmp_path / "w.h5")
    write_archive(tmp_path / "model.keras", weights)
    data = (tmp_path / "model.keras").read_bytes()
    size = len(weights).to_bytes(4, "little")
    (tmp_path / "model.keras").write_bytes(data.replace(size, b"\xff\xff\xff\x7f"))

    with pytest.raises(fastckpt.FormatError, match="weights of the Keras model"):
        convert(tmp_path / "model.keras", target)


def test_archive_of_keras_is_only_read(source, tmp_path):
    with pytest.raises(ValueError, match="expected one of npz, .* got 'keras'"):
        convert(source, tmp_path / "a.keras")

    assert not (tmp_path / "a.keras").exists()
