"""TensorFlow reads what fastckpt writes, and fastckpt what TensorFlow writes; both write the same.

Live: the fixture `oracle` is a real TensorFlow in another process (oracle.py, conftest.py).
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import OracleDied, OracleError

import fastckpt

# ---- what TensorFlow refuses, so do we


def test_tensorflow_refuses_a_flipped_byte_too(oracle, tmp_path):
    prefix = tmp_path / "ckpt"
    fastckpt.write(prefix, {"v": np.arange(4.0)}, sync=False)
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(b"\1" + shard.read_bytes()[1:])

    with pytest.raises(OracleError, match="Checksum does not match"):
        oracle.restore(prefix, [(b"v", "", "float64")])
    with pytest.raises(fastckpt.ChecksumError, match="v"):
        fastckpt.load(prefix)


def test_empty_name_that_kills_tensorflow_is_refused(oracle, tmp_path):
    with pytest.raises(OracleDied, match="Check failed"):
        oracle.save(tmp_path / "theirs", [b""], [""], [("int8", (), b"\0")])
    with pytest.raises(ValueError, match="empty"):
        fastckpt.write(tmp_path / "ours", {"": np.int8(0)})

    assert oracle.version[0] in "12"  # a new worker answers


# ---- beside TensorFlow in one process


IN_ONE_PROCESS = """
import sys
if sys.argv[2] == "fastckpt first":
    import fastckpt
    import tensorflow as tf
else:
    import tensorflow as tf
    import fastckpt
import numpy as np

values = {"a": np.arange(5.0), "s": b"text", "b": tf.constant([1.5, 2.5])}
fastckpt.write(sys.argv[1], values)
reader = tf.train.load_checkpoint(sys.argv[1])
assert reader.get_tensor("a").tolist() == [0, 1, 2, 3, 4]
assert reader.get_tensor("s") == b"text"
assert reader.get_tensor("b").tolist() == [1.5, 2.5]
view = fastckpt.read(sys.argv[1])["b"]
tf.raw_ops.SaveV2(prefix=sys.argv[1], tensor_names=["c"], shape_and_slices=[""],
                  tensors=[tf.constant(view)])
assert fastckpt.read(sys.argv[1])["c"].tolist() == [1.5, 2.5]
assert view.tolist() == [1.5, 2.5]
print("done")
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("order", ["fastckpt first", "tensorflow first"])
def test_works_beside_tensorflow_in_one_process(tmp_path, order):
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, str(tmp_path / "ckpt"), order],
        capture_output=True,
        text=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1"),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]
