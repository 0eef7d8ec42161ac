"""The main job on a real checkpoint: list it, use a tensor without a copy, write a new one.

The checkpoint was written by TensorFlow 1.15's tf.train.Saver (tests/golden/README.md).
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

import fastckpt

FOLDER = Path(__file__).parent.parent / "tests" / "golden" / "tf1_saver"


def main() -> None:
    with fastckpt.read(FOLDER) as checkpoint:  # the latest that the folder's state file names
        print(f"TensorFlow wrote {os.path.relpath(checkpoint.path)}:\n")
        for info in checkpoint.infos():
            print(f"  {info.name:24} {info.tf_dtype:8} {info.shape!s:10} {info.nbytes:5} bytes")
        show_zero_copy(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            show_writing(checkpoint, Path(folder) / "new.ckpt")


def show_zero_copy(checkpoint: fastckpt.Checkpoint) -> None:
    name = max(checkpoint.infos(), key=lambda info: info.nbytes).name
    start = time.perf_counter()
    for _ in range(1000):
        tensor = checkpoint[name]
    microseconds = (time.perf_counter() - start) * 1e3
    print(f"\ncheckpoint[{name!r}] is a view of the mapped file, {microseconds:.1f} us a time:")
    print(f"  owns its data: {tensor.flags.owndata}, writable: {tensor.flags.writeable}")
    print(f"  mean {tensor.mean():.6g}, standard deviation {tensor.std():.6g}")


def show_writing(checkpoint: fastckpt.Checkpoint, path: Path) -> None:
    tensors = {name: tensor * 2 for name, tensor in checkpoint.items()}
    fastckpt.write(path, tensors)
    written = fastckpt.load(path)
    assert all(np.array_equal(written[name], tensor) for name, tensor in tensors.items())
    print("\nWritten, each value doubled, and read back equal, checksums verified:")
    for file in sorted(path.parent.iterdir()):
        print(f"  {file.name:32} {file.stat().st_size:5} bytes")


if __name__ == "__main__":
    main()
