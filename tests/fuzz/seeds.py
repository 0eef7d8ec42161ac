"""The first inputs of the Python targets, made of the golden checkpoints.

    python seeds.py FOLDER

writes them to FOLDER/<target>/, for a corpus that is to begin anew (run.py, --merge).
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from fuzz.inputs import pack
from places import GOLDEN

import fastckpt
from fastckpt.interop.convert import convert

MAX_SIZE = 8000  # bytes of an input


def make_seeds(scratch):
    """Yield (target, input) pairs; `scratch` is an empty folder."""
    for index in sorted(GOLDEN.rglob("*.index")):
        shards = sorted(index.parent.glob(f"{index.name.removesuffix('.index')}.data-*"))
        if 1 <= len(shards) <= 8:
            data = pack([path.read_bytes() for path in (index, *shards)])
            yield "bundle", data
            yield "rescue", data
    for path in sorted(GOLDEN.glob("*v1*/*")) + sorted(GOLDEN.glob("corrupt/v1*/*")):
        if path.suffix not in (".json", ".meta") and path.name != "checkpoint":
            yield "v1", path.read_bytes()
    for path in sorted(GOLDEN.rglob("checkpoint*")):
        yield "state", path.read_bytes()
    for path in [*sorted(GOLDEN.rglob("*.meta")), *sorted(GOLDEN.rglob("saved_model.pb"))]:
        yield "meta", path.read_bytes()
    for prefix in ("tf1_object/obj-1", "tf2_object/obj-1", "tf2_slot_variables/obj"):
        graph = fastckpt.read(GOLDEN / prefix).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        yield "graph", graph.item()
    yield from make_small(Path(scratch))


def make_small(scratch):
    values = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.int64(1), "t": [True]}
    fastckpt.write(scratch / "a", values)
    for suffix in ("npz", "safetensors"):
        convert(scratch / "a", scratch / f"a.{suffix}")
        yield suffix, (scratch / f"a.{suffix}").read_bytes()
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.array([b"one", b"two"]), y=np.float16(1))
    yield "npz", stream.getvalue()
    yield "strings", b"\0\2\0\3\1ABCDonex"
    yield "strings", b"\xff\3\0\0\0\0ABCD"
    for path in sorted((GOLDEN.parent / "c" / "corpus" / "entry").iterdir()):
        yield "entry", path.read_bytes()
    yield "tiles", bytes([2, 4, 5, 2, 0, 0, 1, 1, 1, 1, 0]) + bytes(range(20))
    yield "tiles", bytes([1, 8, 3, 0, 0, 2, 1, 0, 3, 0, 0, 0, 0x90, 1, 2, 3])


def write_seeds(folder, scratch):
    """Write those that are small enough to `folder`/<target>/."""
    for number, (target, data) in enumerate(make_seeds(scratch)):
        if len(data) <= MAX_SIZE:
            place = Path(folder) / target
            place.mkdir(parents=True, exist_ok=True)
            (place / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        write_seeds(sys.argv[1], empty)
