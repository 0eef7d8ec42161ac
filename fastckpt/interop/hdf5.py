"""`.h5`: HDF5, laid out so that Keras reads it. h5py, and the HDF5 library below it, parse it.

A tensor is the dataset of its name: ``dense/kernel`` is ``kernel`` in the group ``dense``. keras.py
has the lists that Keras's loader of legacy weights goes by.

What HDF5 has no type for (bfloat16, the types of 8 and fewer bits) is opaque bytes, and a quantized
tensor plain integers, with TensorFlow's name of the dtype in the attribute ``dtype``: for bfloat16
Keras does that, too. Strings are variable-length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError
from ..format.dtypes import STRING, DType, by_name
from ..format.values import encode_value
from ..storage.local import File
from ..storage.streams import ReadStream, WriteStream, open_file
from .base import (
    NUMPYS_OWN,
    STRING_OBJECT,
    Budget,
    StagedTarget,
    TensorHeader,
    check_dtypes,
    check_shape,
    check_tree,
    find_dtype,
    import_optional,
    parsing,
    refuse,
)
from .keras import MAX_ATTRIBUTE, find_weights, open_archive, write_layers
from .unpacked import can_exceed, fits

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Hdf5Source", "Hdf5Target", "KerasSource"]

_DTYPE: Final = "dtype"  # the attribute with what HDF5 has no type for
_HELD: Final = NUMPYS_OWN | (
    {"qint8", "quint8", "qint16", "quint16", "qint32", "bfloat16", "int2", "uint2", "int4", "uint4"}
    | {"float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}
    | {"float4_e2m1fn"}
)
_MAX_RANK: Final = 32
_PLAIN_FILTERS: Final = {2: "shuffle", 3: "fletcher32"}  # by their numbers; they do not unpack
_PACKERS: Final = {1: "zlib", 32000: "lzf"}
_CHUNK_OBJECT: Final = 512  # bytes of memory that the library takes for a chunk
_CHECKSUM: Final = 64  # bytes, more than filters add to a chunk
_HEAP: Final = b"GCOL"  # begins a collection of strings
_SCANNED: Final = 1 << 20  # bytes at a time


class Hdf5Source:
    """The datasets of a file.

    They are called by their paths; in a legacy file of Keras, or the ``model_weights`` of a whole
    model's, by the names of the weights, without their ":0". Where two have one name it is the
    path, too. An optimizer's stay in ``optimizer_weights``.

    Links other than HDF5's hard ones are not followed, and datasets whose bytes are in other files
    are refused: a stranger's file must not pull in other files of this machine. The library gets a
    stream, not a path, so that it opens no file itself.
    """

    def __init__(self, path: str, max_memory: int | None = None) -> None:
        self.path = path
        self._h5py = import_optional("h5py")
        self._disk = open_file(path)
        self._budget = Budget(path, self._disk.size, max_memory)
        self._longest_string = 0
        with ExitStack() as stack:
            stack.callback(self._disk.close)
            self._stream = self._open_stream(self._disk)
            with self._parsing("file"):
                self._file = stack.enter_context(self._h5py.File(self._stream, "r"))
            with self._parsing("groups"):
                self._datasets = self._find_datasets()
            found = self._datasets.items()
            self._tensors = {name: self._describe(name, dataset) for name, dataset in found}
            self._stack = stack.pop_all()

    def tensors(self) -> list[TensorHeader]:
        return list(self._tensors.values())

    def read(self, name: str) -> Array:
        tensor, dataset = self._tensors[name], self._datasets[name]
        with self._parsing(f"tensor {name!r}"):
            if tensor.dtype is STRING and dataset.dtype.kind == "O":
                array = self._read_strings(name, dataset)
            else:
                array = np.asarray(dataset[()], dataset.dtype)
        if tensor.dtype is STRING:
            return encode_value(name, array)[1]
        if array.dtype.kind == "V":
            array = array.view(tensor.dtype.stored)
        return array.astype(tensor.dtype.numpy, copy=False)

    def owns(self, path: str) -> bool:
        return False

    def close(self) -> None:
        self._datasets.clear()
        self._stack.close()

    def _open_stream(self, file: File) -> ReadStream:
        return ReadStream(file)

    def _parsing(self, what: str) -> AbstractContextManager[None]:
        return parsing(self.path, what, self._stream)

    # ---- Which datasets there are

    def _find_datasets(self) -> dict[str, Any]:
        """Return {name of a tensor: dataset}."""
        datasets: dict[str, Any] = {}
        groups = {"": self._file}
        for path, item in self._find_objects():
            if isinstance(item, self._h5py.Dataset):
                datasets[path] = item
            elif isinstance(item, self._h5py.Group):
                groups[path] = item
        weights = find_weights(groups, self._read_names)
        short = [weights.get(path, path) for path in datasets]
        counts = Counter(short)
        named = {
            name if counts[name] == 1 else path: dataset
            for name, (path, dataset) in zip(short, datasets.items(), strict=True)
        }
        return named if len(named) == len(datasets) else datasets

    def _find_objects(self) -> Iterator[tuple[str, Any]]:
        """Yield (path, object) for all objects, each once, through hard links only."""
        root = self._h5py.h5o.get_info(self._file.id)
        seen = {root.addr}
        groups = [("", self._file)]
        while groups:
            at, group = groups.pop()
            for name, address in self._hard_links(group):
                if address in seen:
                    continue
                seen.add(address)
                path, item = at + name.decode("utf-8", "surrogateescape"), group[name]
                info = self._h5py.h5o.get_info(item.id)
                if (info.fileno, info.addr) != (root.fileno, address):
                    problem = f"expected the object at {address}, got the one at {info.addr}"
                    raise FormatError(self.path, f"link {path!r}", problem)
                yield path, item
                if isinstance(item, self._h5py.Group):
                    groups.append((path + "/", item))

    def _hard_links(self, group: Any) -> list[tuple[bytes, int]]:
        """Return (name, address) of the hard links in a group.

        An object can only be opened by a name, and the library takes the first link of a name. So a
        group with two links of one name, which no library writes, is an error.
        """
        links: list[tuple[bytes, int, int]] = []

        def note(name: bytes, info: Any) -> None:  # raising here would confuse the library
            links.append((name, info.type, info.u))

        group.id.links.iterate(note, info=True)
        for name, count in Counter(name for name, _, _ in links).items():
            if count > 1:
                what = f"link {name.decode(errors='replace')!r}"
                raise FormatError(self.path, what, "the group has two links of this name")
        hard = self._h5py.h5l.TYPE_HARD
        return sorted((name, address) for name, kind, address in links if kind == hard)

    def _read_names(self, group: Any, attribute: str) -> list[str]:
        found = np.asarray(self._read_attribute(group, attribute)).reshape(-1).tolist()
        return [_to_text(name) or "" for name in found]

    def _read_attribute(self, item: Any, key: str) -> Any:
        """Return the value of an attribute, None if it is not there or neither text nor numbers."""
        if key not in item.attrs:
            return None
        attribute = item.attrs.get_id(key)
        dtype, shape = attribute.dtype, attribute.shape
        count = 0 if shape is None else math.prod(shape)
        what = f"attribute {key!r}"
        if dtype.hasobject:
            if self._h5py.check_string_dtype(dtype) is None:
                return None
            self._budget.check_objects(what, count, STRING_OBJECT)
            self._budget.check(what, count * self._find_longest_string())
        self._budget.check(what, count * dtype.itemsize)
        return item.attrs[key]

    # ---- What they are

    def _describe(self, name: str, dataset: Any) -> TensorHeader:
        what = f"tensor {name!r}"
        with self._parsing(what):
            layout = dataset.id.get_create_plist()
            is_elsewhere = layout.get_layout() == self._h5py.h5d.VIRTUAL
            if is_elsewhere or layout.get_external_count() or dataset.shape is None:
                raise refuse(self.path, name, "expected a dataset with its bytes in this file")
            dtype = self._dtype_of(name, dataset)
            nbytes = check_shape(self.path, name, dataset.shape, dtype)
            count, stored = math.prod(dataset.shape), dataset.dtype.itemsize
            self._budget.check(what, max(nbytes, count * stored))
            if dtype is STRING:
                self._budget.check_objects(what, count, STRING_OBJECT)
            if layout.get_layout() == self._h5py.h5d.CHUNKED:
                self._check_chunks(name, dataset, layout)
        return TensorHeader(name, dtype, dataset.shape, nbytes)

    def _dtype_of(self, name: str, dataset: Any) -> DType:
        stored = dataset.dtype
        if stored.kind == "O":
            if self._h5py.check_string_dtype(stored) is None:
                raise refuse(self.path, name, "expected numbers or text, got references or lists")
            return STRING
        named = by_name(_to_text(self._read_attribute(dataset, _DTYPE)))
        if named is not None and named.item_size == stored.itemsize:
            is_opaque = stored.kind == "V" and stored.names is None
            if is_opaque or stored.newbyteorder("=") == named.numpy:
                return named
        return find_dtype(self.path, name, stored)

    def _check_chunks(self, name: str, dataset: Any, layout: Any) -> None:
        """Raise `CheckpointError` if the chunks take more memory than the budget allows: by their
        shape, by their number, or because one unpacks to more than its shape."""
        what, chunk = f"tensor {name!r}", layout.get_chunk()
        size = math.prod(chunk) * dataset.id.get_type().get_size()
        self._budget.check(what, size)
        sides = zip(dataset.shape, chunk, strict=True)
        count = math.prod(-(-dim // max(1, side)) for dim, side in sides)
        self._budget.check_objects(what, count, _CHUNK_OBJECT)
        packers = []
        for index in range(layout.get_nfilters()):
            number, _, values, _ = layout.get_filter(index)
            if number in _PACKERS:
                packers.append((index, _PACKERS[number]))
                self._budget.check(what, max(values, default=0))  # lzf takes one for a size
            elif number not in _PLAIN_FILTERS:
                raise refuse(self.path, name, f"cannot be read safely: it needs filter {number}")
        if len(packers) > 1:
            raise refuse(self.path, name, "expected chunks that are packed once, got them twice")
        for index, codec in packers:
            self._check_packed(what, dataset, codec, 1 << index, size + _CHECKSUM)

    def _check_packed(self, what: str, dataset: Any, codec: str, skipped: int, most: int) -> None:
        """Raise `FormatError` if a chunk unpacks to more than `most` bytes, or is not there."""
        chunks: list[Any] = []
        dataset.id.chunk_iter(chunks.append)
        for chunk in chunks:
            if chunk.size > self._disk.size:
                problem = f"expected a chunk in this file, got {chunk.size} bytes"
                raise FormatError(self.path, what, problem)
            if chunk.filter_mask & skipped or not can_exceed(codec, chunk.size, most):
                continue
            _, data = dataset.id.read_direct_chunk(chunk.chunk_offset)
            if not fits(codec, data, most):
                raise FormatError(self.path, what, f"a chunk unpacks to more than {most} bytes")

    # ---- Strings

    def _read_strings(self, name: str, dataset: Any) -> Array:
        """Read variable-length strings, as many at a time as fit into the budget: any number of
        them may share the bytes of one."""
        what, count = f"tensor {name!r}", math.prod(dataset.shape)
        step = max(1, self._budget.bytes // 2 // max(1, self._find_longest_string()))
        if count <= step:
            return np.asarray(dataset[()], dataset.dtype)
        found = np.empty(count, dataset.dtype)
        h5s, taken = self._h5py.h5s, 0
        kind = self._h5py.h5t.py_create(dataset.dtype)
        for start in range(0, count, step):
            part = found[start : start + step]
            places = np.unravel_index(np.arange(start, start + len(part)), dataset.shape)
            space = dataset.id.get_space()
            space.select_elements(np.stack(places, axis=-1).astype(np.uint64))
            dataset.id.read(h5s.create_simple((len(part),)), space, part, kind)
            taken += sum(map(len, part.tolist()))
            self._budget.check(what, taken)
        strings: Array = found.reshape(dataset.shape)
        return strings

    def _find_longest_string(self) -> int:
        """Return a bound on the bytes of a variable-length string: no collection of strings in the
        file is larger."""
        if not self._longest_string:
            self._longest_string = 1
            overlap = len(_HEAP) + 12
            for start in range(0, self._disk.size, _SCANNED):
                size = min(_SCANNED + overlap, self._disk.size - start)
                self._scan(self._disk.read(start, size, "strings"), self._disk.size - start)
        return self._longest_string

    def _scan(self, data: bytes, left: int) -> None:
        at = data.find(_HEAP)
        while at >= 0:
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            self._longest_string = max(self._longest_string, min(size, left - at))
            at = data.find(_HEAP, at + 1)


class KerasSource(Hdf5Source):
    """The weights in the archive of a Keras 3 model, called by their paths."""

    def _open_stream(self, file: File) -> ReadStream:
        return open_archive(file)


def _to_text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None


class Hdf5Target(StagedTarget):
    """A file that is being written. Raises `UnsupportedError` for names that cannot be paths, and
    for strings with a NUL, where HDF5's strings end."""

    def __init__(self, path: str, tensors: Sequence[TensorHeader]) -> None:
        self._h5py = import_optional("h5py")
        check_tree(path, "HDF5", tensors)
        check_dtypes(path, "HDF5", tensors, _HELD)
        for tensor in tensors:
            if len(tensor.shape) > _MAX_RANK:
                why = f"HDF5 has at most {_MAX_RANK} dimensions, not {len(tensor.shape)}"
                raise refuse(path, tensor.name, why)
            if len(tensor.name.encode()) > MAX_ATTRIBUTE:
                raise refuse(path, tensor.name[:80], "its name is too long for Keras's lists")
        super().__init__(path, tensors)

    def add(self, tensor: TensorHeader, array: Array) -> None:
        stored = None
        if tensor.dtype is STRING:
            if any(b"\0" in each for each in array.reshape(-1).tolist()):
                why = "a string in HDF5 ends at its first NUL, and one here has one"
                raise refuse(self.path, tensor.name, why + "; leave the tensor out with exclude")
            stored = self._h5py.string_dtype()
        is_native = tensor.dtype.name in NUMPYS_OWN
        if not is_native and array.dtype.name not in NUMPYS_OWN:
            array = array.astype(tensor.dtype.stored, copy=False).view(f"V{array.itemsize}")
        dataset = self._file.create_dataset(tensor.name, data=array, dtype=stored)
        if not is_native:
            dataset.attrs[_DTYPE] = tensor.dtype.name
        dataset.id.flush()
        self._disk.check()

    def _open(self, new: str, stack: ExitStack) -> None:
        self._disk = stack.enter_context(WriteStream(new))
        self._file = stack.enter_context(self._h5py.File(self._disk, "w"))
        write_layers(self._file, [tensor.name for tensor in self.order])
