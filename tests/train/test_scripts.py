"""Scripts that were written for `tf.train` run when their import is changed, and do the same."""

import subprocess
import sys

import numpy as np
import pytest
from places import EXAMPLES

import fastckpt
from fastckpt import train

OURS = "from fastckpt import train  # was: "
THEIRS = "import tensorflow as tf; train = tf.compat.v1.train"


def result_of(script, argument, folder):
    """Run a script as a program and return the arrays that it saves."""
    out = folder / "out.npz"
    subprocess.run([sys.executable, str(script), str(argument), str(out)], check=True, timeout=120)
    with np.load(out) as arrays:
        return {name: arrays[name] for name in arrays.files}


def result_of_original(name, argument, folder):
    """Run a script with the import that it had."""
    text = (EXAMPLES / name).read_text("utf-8")
    assert text.count(OURS + THEIRS + "\n") == 1
    original = folder / name
    original.write_text(text.replace(OURS + THEIRS, THEIRS), "utf-8")
    return result_of(original, argument, folder)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        assert ours[name].tobytes() == array.tobytes(), name


@pytest.fixture
def bert(tmp_path):
    """A checkpoint with BERT's names, small, with its optimizer's slots."""
    random = np.random.default_rng(0)
    shapes = {
        "bert/embeddings/word_embeddings": (50, 8),
        "bert/embeddings/LayerNorm/gamma": (8,),
        "bert/embeddings/LayerNorm/beta": (8,),
        "bert/pooler/dense/kernel": (8, 8),
        "cls/seq_relationship/output_weights": (2, 8),
    }
    for layer in range(2):
        scope = f"bert/encoder/layer_{layer}/"
        shapes[scope + "attention/self/query/kernel"] = (8, 4)
        shapes[scope + "attention/self/query/bias"] = (4,)
        shapes[scope + "output/LayerNorm/gamma"] = (8,)
    slots = {f"{name}/adam_m": shape for name, shape in shapes.items()}
    tensors = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in {**shapes, **slots}.items()
    }
    tensors["global_step"] = np.int64(1000)
    path = tmp_path / "bert_model.ckpt"
    train.Saver().save(tensors, path)
    return path


@pytest.mark.tensorflow
def test_bert_is_loaded_as_by_tensorflow(bert, tmp_path):
    ours = result_of(EXAMPLES / "bert_to_pytorch.py", bert, tmp_path)

    assert_same(ours, result_of_original("bert_to_pytorch.py", bert, tmp_path))


def test_bert_is_loaded_with_pytorchs_names(bert, tmp_path):
    weights = result_of(EXAMPLES / "bert_to_pytorch.py", bert, tmp_path)

    source = fastckpt.read(bert)
    query = weights["bert.encoder.layer.1.attention.self.query.weight"]
    assert np.array_equal(query, source["bert/encoder/layer_1/attention/self/query/kernel"].T)
    assert "bert.embeddings.word_embeddings.weight" in weights
    assert "cls.seq_relationship.weight" in weights
    assert not any("adam" in name or "step" in name for name in weights)


@pytest.mark.tensorflow
def test_checkpoints_are_averaged_as_by_tensorflow(golden, tmp_path):
    folder = golden / "tf1_saver"
    ours = result_of(EXAMPLES / "average_checkpoints.py", folder, tmp_path)

    assert_same(ours, result_of_original("average_checkpoints.py", folder, tmp_path))


def test_average_is_that_of_the_last_five(golden, tmp_path):
    folder = golden / "tf1_saver"
    averaged = result_of(EXAMPLES / "average_checkpoints.py", folder, tmp_path)

    paths = train.get_checkpoint_state(folder).all_model_checkpoint_paths
    assert len(paths) == 5
    for name in ("w", "b", "old_style"):
        expected = np.mean([train.load_variable(path, name) for path in paths], axis=0, dtype=float)
        assert np.allclose(averaged[name], expected, rtol=1e-12)
    assert averaged["global_step"] == train.load_variable(folder, "global_step")
