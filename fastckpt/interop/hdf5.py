"""`.h5`: HDF5, laid out so that Keras reads it. h5py, and the HDF5 library below it, parse it.

A tensor is the dataset of its name: ``dense/kernel`` is ``kernel`` in the group ``dense``. For
Keras's loader of legacy weights a name's first part is a layer: the file lists layers in the
attribute ``layer_names``, a layer's group its datasets in ``weight_names``, in the order in which
Keras makes a layer's weights, since it goes by that and not by the names. A Keras 3 file of weights
(``.weights.h5``) is a tree of plain datasets, ``layers/dense/vars/0``, and needs no more.

What HDF5 has no type for (bfloat16, the types of 8 and fewer bits) is opaque bytes, and a quantized
tensor plain integers, with TensorFlow's name of the dtype in the attribute ``dtype``: for bfloat16
Keras does that, too. Strings are variable-length.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError
from ..format.dtypes import STRING, DType, by_name
from ..format.values import encode_value
from .base import (
    NUMPYS_OWN,
    StagedTarget,
    Tensor,
    as_format_error,
    check_dtypes,
    check_shape,
    check_tree,
    find_dtype,
    import_optional,
    refuse,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Hdf5Source", "Hdf5Target"]

_DTYPE: Final = "dtype"  # the attribute with what HDF5 has no type for
_PATHS: Final = "names_are_paths"  # set by us: no tensor is called as `weight_names` says
_TOP_LEVEL: Final = "top_level_model_weights"  # those of no layer
_MODEL: Final = "model_weights"  # where a whole model's file has its weights
_OPTIMIZER: Final = "optimizer_weights"  # and its optimizer's
_HELD: Final = NUMPYS_OWN | (
    {"qint8", "quint8", "qint16", "quint16", "qint32", "bfloat16", "int2", "uint2", "int4", "uint4"}
    | {"float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}
    | {"float4_e2m1fn"}
)
_MAX_RANK: Final = 32
_MAX_ATTRIBUTE: Final = 64512  # bytes of an object's header; Keras's loader knows this figure
_MAX_EXPANSION: Final = 1032  # what deflate can do
_SMALL: Final = 1 << 20
_WEIGHTS: Final = {  # the order in which Keras's layers make them
    name: rank
    for rank, name in enumerate(
        ["gamma", "beta", "moving_mean", "moving_variance", "embeddings", "depthwise_kernel"]
        + ["pointwise_kernel", "kernel", "recurrent_kernel", "bias"]
    )
}


class Hdf5Source:
    """The datasets of a file.

    They are called by their paths; in a legacy file of Keras, or the ``model_weights`` of a whole
    model's, by the names of the weights, without their ":0". Where two have one name it is the
    path, too. An optimizer's stay in ``optimizer_weights``.

    Links other than HDF5's hard ones are not followed, and datasets whose bytes are in other files
    are refused: a stranger's file must not pull in what is on this machine.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._h5py = import_optional("h5py")
        self._size = os.path.getsize(path)
        with as_format_error(path, "file"):
            self._file = self._h5py.File(path, "r")
        try:
            with as_format_error(path, "groups"):
                self._paths = self._find_names()
            found = ((name, self._file[path]) for name, path in self._paths.items())
            self._tensors = {name: self._describe(name, dataset) for name, dataset in found}
        except BaseException:
            self._file.close()
            raise

    def tensors(self) -> list[Tensor]:
        return list(self._tensors.values())

    def read(self, name: str) -> Array:
        tensor = self._tensors[name]
        dataset = self._file[self._paths[name]]
        with as_format_error(self.path, f"tensor {name!r}"):
            array = np.asarray(dataset[()], dataset.dtype)
        if tensor.dtype is STRING:
            return encode_value(name, array)[1]
        if array.dtype.kind == "V":
            array = array.view(tensor.dtype.stored)
        return array.astype(tensor.dtype.numpy, copy=False)

    def close(self) -> None:
        self._file.close()

    def _find_names(self) -> dict[str, str]:
        """Return {name of a tensor: path of its dataset}."""
        datasets: list[str] = []
        groups = {"": self._file}

        def visit(path: str, item: Any) -> None:  # each once, through hard links only
            if isinstance(item, self._h5py.Dataset):
                datasets.append(path)
            else:
                groups[path] = item

        self._file.visititems(visit)
        weights = dict(_weights_of_keras(groups))
        short = [weights.get(path, path) for path in datasets]
        counts = Counter(short)
        names = {
            name if counts[name] == 1 else path: path
            for name, path in zip(short, datasets, strict=True)
        }
        return names if len(names) == len(datasets) else {path: path for path in datasets}

    def _describe(self, name: str, dataset: Any) -> Tensor:
        if dataset.shape is None or dataset.is_virtual or dataset.external:
            raise refuse(self.path, name, "expected a dataset with its bytes in this file")
        with as_format_error(self.path, f"tensor {name!r}"):
            dtype = self._dtype_of(name, dataset)
        nbytes = check_shape(self.path, name, dataset.shape, dtype)
        size = max(nbytes, nbytes // max(dtype.numpy.itemsize, 1) * dataset.dtype.itemsize)
        if size > _SMALL + _MAX_EXPANSION * self._size:
            problem = f"{self._size} bytes of file cannot be {size} bytes of tensor"
            raise FormatError(self.path, f"tensor {name!r}", problem)
        return Tensor(name, dtype, dataset.shape, nbytes)

    def _dtype_of(self, name: str, dataset: Any) -> DType:
        stored = dataset.dtype
        if stored.kind == "O":
            if self._h5py.check_string_dtype(stored) is None:
                raise refuse(self.path, name, "expected numbers or text, got references or lists")
            return STRING
        named = by_name(_to_text(dataset.attrs.get(_DTYPE)))
        if named is not None and named.item_size == stored.itemsize:
            is_opaque = stored.kind == "V" and stored.names is None
            if is_opaque or stored.newbyteorder("=") == named.numpy:
                return named
        return find_dtype(self.path, name, stored)


def _weights_of_keras(groups: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (path, name) of each weight that a legacy file of Keras lists."""
    for top in ("", _MODEL):
        if top not in groups or _PATHS in groups[top].attrs:
            continue
        for layer in [*_read_names(groups[top], "layer_names"), _TOP_LEVEL]:
            path = f"{top}/{layer}".strip("/")
            for weight in _weights_of(groups, path):
                yield f"{path}/{weight}", weight.removesuffix(":0")
    for weight in _weights_of(groups, _OPTIMIZER):
        path = f"{_OPTIMIZER}/{weight}"
        yield path, path.removesuffix(":0")


def _weights_of(groups: Mapping[str, Any], path: str) -> Iterator[str]:
    if path in groups:
        yield from _read_names(groups[path], "weight_names")


def _read_names(group: Any, attribute: str) -> Iterator[str]:
    """Yield the names in an attribute, or where they are too many in several that are numbered."""
    keys = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(keys)}" in group.attrs:
        keys.append(f"{attribute}{len(keys)}")
    for key in keys:
        for name in np.asarray(group.attrs[key]).reshape(-1).tolist():
            yield _to_text(name) or ""


def _to_text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None


class _Disk:
    """The file that the library writes. It never hears of an error, which is kept for `check`: it
    may crash when a write fails, or swallow it together with the tensor."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "x+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        self._error: OSError | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        with self._kept():
            while left:
                left = left[self._file.write(left) :]
        return size

    def read(self, size: int = -1) -> bytes:  # by which h5py knows a file, and does not call it
        return self._file.read(size) or b""

    def readinto(self, buffer: Any) -> int:
        with self._kept():
            return self._file.readinto(buffer) or 0
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int) -> int:
        with self._kept():
            self._file.truncate(size)
        return size

    def flush(self) -> None: ...

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error.with_traceback(None)

    def __enter__(self) -> _Disk:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._file.close()
        if kind is None:
            self.check()


class Hdf5Target(StagedTarget):
    """A file in the making. Raises `UnsupportedError` for names that no path can be, and for
    strings with a NUL, where HDF5's strings end."""

    def __init__(self, path: str, tensors: Sequence[Tensor]) -> None:
        self._h5py = import_optional("h5py")
        check_tree(path, "HDF5", tensors)
        check_dtypes(path, "HDF5", tensors, _HELD)
        for tensor in tensors:
            if len(tensor.shape) > _MAX_RANK:
                why = f"HDF5 has at most {_MAX_RANK} dimensions, not {len(tensor.shape)}"
                raise refuse(path, tensor.name, why)
            if len(tensor.name.encode()) > _MAX_ATTRIBUTE:
                raise refuse(path, tensor.name[:80], "its name is too long for Keras's lists")
        super().__init__(path, tensors)

    def add(self, tensor: Tensor, array: Array) -> None:
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
        self._disk = stack.enter_context(_Disk(new))
        self._file = stack.enter_context(self._h5py.File(self._disk, "w"))
        layers: dict[str, list[str]] = {}
        for tensor in self.order:
            layer, _, weight = tensor.name.partition("/")
            if weight:
                layers.setdefault(layer, []).append(weight)
        self._file.attrs.update({_PATHS: True, "backend": b"tensorflow", "keras_version": b"2"})
        _write_names(self._file, "layer_names", list(layers))
        for layer, weights in layers.items():
            group = self._file.create_group(layer)
            _write_names(group, "weight_names", sorted(weights, key=_rank))


def _rank(weight: str) -> tuple[str, int, str]:
    scope, _, name = weight.rpartition("/")
    return scope, _WEIGHTS.get(name, len(_WEIGHTS)), name


def _write_names(group: Any, attribute: str, names: Sequence[str]) -> None:
    """Write names as an attribute, or as several that are numbered, as Keras reads them."""
    chunks: list[list[bytes]] = [[]]
    longest = 1
    for name in map(str.encode, names):
        longest = max(longest, len(name))
        if longest * (len(chunks[-1]) + 1) > _MAX_ATTRIBUTE:
            chunks.append([])
            longest = len(name)
        chunks[-1].append(name)
    for number, chunk in enumerate(chunks):
        key = f"{attribute}{number}" if len(chunks) > 1 else attribute
        group.attrs[key] = np.array(chunk, "S")
