"""The files that the benchmarks read, and the arrays that they write.

Everything is seeded, made once, and kept in a folder (about 1.7 GB, and 512 MB more while a write
case runs; 100 MB with ``--quick``, and 32 MB more)::

    <cache>/full/  or  <cache>/quick/
      small.*      100,000 tensors of a few bytes, with the names of a BERT trained with Adam
      big.*        512 MB: 32 float32 tensors of 16 MB
      v1.*         a single tensor, for the case that starts a process
      damaged.*    small.*, with a bit of its last byte flipped
      nodes.meta   a graph of 300,000 nodes: the variables of small, as TensorFlow declares them
      constants.meta  a graph of 32 constants: the tensors of big
      output/      where the write cases write: the same file system as what is read
      stamp.json   what the folder was made from; written last

``small``, ``big`` and ``v1`` exist twice: as a checkpoint that TensorFlow's own SaveV2 wrote, and
as ``.safetensors``. `run` makes what is missing; by hand it is ``python -m benchmarks.fixtures``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_CACHE = Path(__file__).parent / ".cache"
SEED = 20260101
# Raise this when what is written changes, so that old folders are made anew.
LAYOUT = 2

# One transformer layer: what BERT's checkpoints call its variables, at toy shapes.
LAYER_VARIABLES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("attention/self/query/kernel", (4, 4)),
    ("attention/self/query/bias", (4,)),
    ("attention/self/key/kernel", (4, 4)),
    ("attention/self/key/bias", (4,)),
    ("attention/self/value/kernel", (4, 4)),
    ("attention/self/value/bias", (4,)),
    ("attention/output/dense/kernel", (4, 4)),
    ("attention/output/dense/bias", (4,)),
    ("attention/output/LayerNorm/gamma", (4,)),
    ("attention/output/LayerNorm/beta", (4,)),
    ("intermediate/dense/kernel", (4, 8)),
    ("intermediate/dense/bias", (8,)),
    ("output/dense/kernel", (8, 4)),
    ("output/dense/bias", (4,)),
    ("output/LayerNorm/gamma", (4,)),
    ("output/LayerNorm/beta", (4,)),
)
OPTIMIZER_SLOTS = ("", "/adam_m", "/adam_v")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the fixtures are and how much a case asks of them."""

    name: str
    small_count: int
    get_count: int
    write_count: int
    big_count: int
    big_items: int


FULL = Scale("full", 100_000, 20_000, 20_000, 32, 4 << 20)
QUICK = Scale("quick", 5_000, 1_000, 1_000, 32, 256 << 10)


@dataclass(frozen=True, slots=True)
class Fixtures:
    """Where the files of one scale are, and what is in them.

    What is in them is known without any of the libraries under test: the small tensors are
    generated again from the seed, the big ones are slices of the shard, where TensorFlow packs one
    after the other without padding.
    """

    folder: Path
    scale: Scale

    @property
    def output(self) -> Path:
        """Where a write case writes; emptied by `clear_output`."""
        return self.folder / "output"

    def prefix(self, name: str) -> str:
        """The TensorFlow checkpoint of that name."""
        return str(self.folder / name)

    def safetensors(self, name: str) -> str:
        """The same tensors as one .safetensors file."""
        return str(self.folder / f"{name}.safetensors")

    def graph(self, name: str) -> str:
        """The `.meta` file of that name."""
        return str(self.folder / f"{name}.meta")

    def clear_output(self) -> None:
        """Leave an empty output folder."""
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()

    def small_names(self) -> list[str]:
        """The names in `small`, in key order."""
        return sorted(name for name, _ in islice(name_variables(), self.scale.small_count))

    def small_tensors(self, count: int | None = None) -> dict[str, NDArray[Any]]:
        """The first `count` tensors of `small`, or all."""
        import numpy as np

        rng = np.random.default_rng(SEED)
        tensors: dict[str, NDArray[Any]] = {"global_step": np.array(SEED, np.int64)}
        for name, shape in islice(name_variables(), 1, count or self.scale.small_count):
            tensors[name] = rng.standard_normal(shape, np.float32)
        return tensors

    def middle_name(self) -> str:
        """A name from the middle of `small`: neither the first block of an index nor the last."""
        return self.small_names()[self.scale.small_count // 2]

    def random_names(self) -> list[str]:
        """Which tensors of `small` the random-access case asks for, and in which order."""
        return random.Random(SEED).sample(self.small_names(), self.scale.get_count)

    def big_names(self) -> list[str]:
        """The names in `big`, in key order."""
        return [f"layer_{number:02d}/kernel" for number in range(self.scale.big_count)]

    def big_tensor(self, name: str) -> NDArray[np.float32]:
        """A private copy of one tensor of `big`."""
        import numpy as np

        items = self.scale.big_items
        offset = self.big_names().index(name) * items * 4
        return np.fromfile(self.big_shard(), np.float32, items, offset=offset)

    def big_shard(self) -> str:
        """The file that holds the bytes of `big`: no padding, and in the order of the names."""
        return self.prefix("big") + ".data-00000-of-00001"


def name_variables() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of an endless model, layer after layer."""
    yield "global_step", ()
    layer = 0
    while True:
        for variable, shape in LAYER_VARIABLES:
            for slot in OPTIMIZER_SLOTS:
                yield f"bert/encoder/layer_{layer:04d}/{variable}{slot}", shape
        layer += 1


def locate(cache: Path, scale: Scale) -> Fixtures:
    """Return the fixtures of `scale` under `cache`, whether or not they have been made."""
    return Fixtures(cache / scale.name, scale)


def is_made(fixtures: Fixtures) -> bool:
    """Tell whether the folder holds exactly what `make` would write."""
    try:
        stamp = json.loads((fixtures.folder / "stamp.json").read_text())
    except FileNotFoundError:
        return False
    return bool(stamp == stamp_of(fixtures.scale))


def stamp_of(scale: Scale) -> dict[str, Any]:
    return {"layout": LAYOUT, "seed": SEED, "scale": asdict(scale)}


def make(fixtures: Fixtures) -> None:
    """Write every file of `fixtures`, replacing what is there."""
    import numpy as np

    shutil.rmtree(fixtures.folder, ignore_errors=True)
    fixtures.folder.mkdir(parents=True)
    (fixtures.folder.parent / ".gitignore").write_text("*\n")
    fixtures.clear_output()

    write_both(fixtures, "v1", {"v1": np.arange(6, dtype=np.float32)})
    write_both(fixtures, "small", fixtures.small_tensors())
    write_both(fixtures, "big", dict(generate_big(fixtures)))
    damage(fixtures)
    write_nodes(fixtures)
    write_constants(fixtures)

    (fixtures.folder / "stamp.json").write_text(json.dumps(stamp_of(fixtures.scale)))
    # A write case should not wait for these files to reach the disk.
    os.sync()


def generate_big(fixtures: Fixtures) -> Iterator[tuple[str, NDArray[np.float32]]]:
    import numpy as np

    rng = np.random.default_rng(SEED)
    for name in fixtures.big_names():
        yield name, rng.standard_normal(fixtures.scale.big_items, np.float32)


def write_both(fixtures: Fixtures, name: str, tensors: dict[str, NDArray[Any]]) -> None:
    """Write `tensors` with TensorFlow and with safetensors; make sure that the shard is packed."""
    import tensorflow as tf  # type: ignore[import-untyped]
    from safetensors.numpy import save_file

    tf.raw_ops.SaveV2(
        prefix=fixtures.prefix(name),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(tensor) for tensor in tensors.values()],
    )
    save_file(tensors, fixtures.safetensors(name))

    with open(fixtures.prefix(name) + ".data-00000-of-00001", "rb") as shard:
        for key, tensor in tensors.items():
            if shard.read(tensor.nbytes) != tensor.tobytes():
                raise RuntimeError(f"{shard.name}: {key} does not follow the tensor before it")


def damage(fixtures: Fixtures) -> None:
    """Copy `small` to `damaged` with one byte changed."""
    shutil.copy(fixtures.prefix("small") + ".index", fixtures.prefix("damaged") + ".index")
    shard = bytearray(Path(fixtures.prefix("small") + ".data-00000-of-00001").read_bytes())
    shard[-1] ^= 0x80
    Path(fixtures.prefix("damaged") + ".data-00000-of-00001").write_bytes(shard)


def write_nodes(fixtures: Fixtures) -> None:
    """Write a graph with a variable, its initializer and its reader for each tensor of `small`."""
    from tensorflow.core.framework.variable_pb2 import (  # type: ignore[import-untyped]
        VariableDef,
    )
    from tensorflow.core.protobuf.meta_graph_pb2 import (  # type: ignore[import-untyped]
        MetaGraphDef,
    )

    meta = MetaGraphDef()
    declared = meta.collection_def["variables"].bytes_list.value
    for name in fixtures.small_names():
        variable = meta.graph_def.node.add(name=name, op="VariableV2")
        variable.attr["dtype"].type = 1
        variable.attr["shape"].shape.dim.add(size=4)
        meta.graph_def.node.add(name=f"{name}/Assign", op="Assign", input=[name, f"{name}/init"])
        meta.graph_def.node.add(name=f"{name}/read", op="Identity", input=[name])
        definition = VariableDef(
            variable_name=f"{name}:0",
            initializer_name=f"{name}/Assign",
            snapshot_name=f"{name}/read:0",
            trainable=True,
        )
        declared.append(definition.SerializeToString())
    Path(fixtures.graph("nodes")).write_bytes(meta.SerializeToString())


def write_constants(fixtures: Fixtures) -> None:
    """Write a graph whose constants are the tensors of `big`."""
    from tensorflow.core.protobuf.meta_graph_pb2 import (
        MetaGraphDef,
    )

    meta = MetaGraphDef()
    for name in fixtures.big_names():
        tensor = meta.graph_def.node.add(name=name, op="Const").attr["value"].tensor
        tensor.dtype = 1
        tensor.tensor_shape.dim.add(size=fixtures.scale.big_items)
        tensor.tensor_content = fixtures.big_tensor(name).tobytes()
    Path(fixtures.graph("constants")).write_bytes(meta.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the benchmark fixtures.")
    parser.add_argument("--quick", action="store_true", help="the small scale that CI uses")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="default: %(default)s")
    arguments = parser.parse_args()
    fixtures = locate(arguments.cache, QUICK if arguments.quick else FULL)
    if not is_made(fixtures):
        make(fixtures)


if __name__ == "__main__":
    main()
