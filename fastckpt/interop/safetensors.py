"""`.safetensors`: 8 bytes with the length of a header, a header in JSON, and the tensors' bytes.

    {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}

Offsets count from the end of the header. Tensors lie side by side, without overlap or hole, up to
the end of the file. https://github.com/huggingface/safetensors describes it.

The format is read and written here, not by the library of that name: its functions for NumPy need
all tensors in memory to write, and do not know bfloat16. The result is that of the library, byte
for byte: tensors sorted by dtype, the largest elements first, then by name; the header filled up
with spaces to a multiple of 8; no metadata.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from ..errors import FormatError, UnsupportedError
from ..format.dtypes import by_name
from ..format.values import payload, to_native
from ..storage.local import empty_bytes
from ..storage.streams import create_file, open_file
from .base import (
    Budget,
    StagedTarget,
    TensorHeader,
    check_dtypes,
    check_names,
    check_shape,
    refuse,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["SafetensorsSource", "SafetensorsTarget"]

_DTYPES: Final = {  # in the library's order. Its F4 packs two in a byte; others TensorFlow has not
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_CODES: Final = {name: code for code, name in _DTYPES.items()}
_RANKS: Final = {name: rank for rank, name in enumerate(_DTYPES.values())}
_METADATA: Final = "__metadata__"
_MAX_HEADER: Final = 100_000_000  # bytes; the library's own limit
_ALIGNMENT: Final = 8


class _Place(NamedTuple):
    tensor: TensorHeader
    offset: int  # in the file


class SafetensorsSource:
    """The tensors of a file, in the order of their bytes. Raises `FormatError` if the header is
    broken; the data have no checksum."""

    def __init__(self, path: str, max_memory: int | None = None) -> None:
        self.path = path
        self._file = open_file(path)
        self._budget = Budget(path, self._file.size, max_memory)
        size = int.from_bytes(self._file.read(0, 8, "length of the header"), "little")
        if size > min(_MAX_HEADER, self._file.size - 8):
            raise self._broken(f"{size} bytes are more than the file, or the format, allows")
        header = self._parse(self._file.read(8, size, "header"))
        self._places: dict[str, _Place] = {}
        end = 8 + size
        for name, fields in sorted(header.items(), key=_offsets):
            end = self._place(name, fields, 8 + size, end)
        if end != self._file.size:
            raise self._broken(f"expected tensors up to the end at {self._file.size}, got {end}")

    def tensors(self) -> list[TensorHeader]:
        return [place.tensor for place in self._places.values()]

    def read(self, name: str) -> Array:
        tensor, offset = self._places[name]
        raw = empty_bytes(tensor.nbytes)
        self._file.read_into(raw.data, offset, f"tensor {name!r}")
        to_native(tensor.dtype, raw, "little")
        return raw.view(tensor.dtype.numpy).reshape(tensor.shape)

    def owns(self, path: str) -> bool:
        return False

    def close(self) -> None:
        self._file.close()

    def _broken(self, problem: str, what: str = "header") -> FormatError:
        return FormatError(self.path, what, problem)

    def _parse(self, data: bytes) -> dict[str, Any]:
        try:
            header = json.loads(data.decode(), object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise self._broken(f"expected JSON: {error}") from error
        if not isinstance(header, dict):
            raise self._broken(f"expected an object, got {type(header).__name__}")
        header.pop(_METADATA, None)
        for name, fields in header.items():
            if not _is_described(fields):
                raise self._broken("expected dtype, shape and data_offsets", f"tensor {name!r}")
        return header

    def _place(self, name: str, fields: dict[str, Any], start: int, expected: int) -> int:
        """Record where a tensor is, which must be `expected`; return where it ends."""
        begin, end = (start + offset for offset in _offsets((name, fields)))
        dtype = by_name(_DTYPES.get(fields["dtype"]))
        if dtype is None:
            raise refuse(self.path, name, f"a checkpoint cannot hold the dtype {fields['dtype']}")
        shape = tuple(fields["shape"])
        size = check_shape(self.path, name, shape, dtype)
        self._budget.check(f"tensor {name!r}", size)
        if begin != expected or end - begin != size:
            problem = f"expected {size} bytes at {expected}, got {end - begin} at {begin}"
            raise self._broken(problem, f"tensor {name!r}")
        self._places[name] = _Place(TensorHeader(name, dtype, shape, size), begin)
        return end


def _offsets(item: tuple[str, Any]) -> list[int]:
    offsets: list[int] = item[1]["data_offsets"]
    return offsets


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _is_described(fields: object) -> bool:
    """Whether a header's entry has the fields of a tensor, each of its type."""
    if not isinstance(fields, dict) or not isinstance(fields.get("dtype"), str):
        return False
    shape, offsets = fields.get("shape"), fields.get("data_offsets")
    return _is_counts(shape) and _is_counts(offsets) and len(offsets) == 2


def _is_counts(numbers: object) -> TypeGuard[list[int]]:
    return isinstance(numbers, list) and all(type(each) is int and each >= 0 for each in numbers)


class SafetensorsTarget(StagedTarget):
    """A file that is being written. Raises `UnsupportedError` for dtypes that the format lacks."""

    def __init__(self, path: str, tensors: Sequence[TensorHeader]) -> None:
        check_names(path, "safetensors", tensors)
        check_dtypes(path, "safetensors", tensors, _CODES)
        if any(tensor.name == _METADATA for tensor in tensors):
            raise refuse(path, _METADATA, "safetensors reserves the name; rename the tensor")
        super().__init__(path, sorted(tensors, key=_rank))

    def add(self, tensor: TensorHeader, array: Array) -> None:
        self._file.write(payload(tensor.dtype, array))

    def _open(self, new: str, stack: ExitStack) -> None:
        header = _encode_header(self.path, self.order)
        self._file = stack.enter_context(create_file(new))
        self._file.write(header)


def _rank(tensor: TensorHeader) -> tuple[int, str]:
    return -_RANKS[tensor.dtype.name], tensor.name


def _encode_header(path: str, tensors: Sequence[TensorHeader]) -> bytes:
    header, end = {}, 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        header[tensor.name] = {
            "dtype": _CODES[tensor.dtype.name],
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > _MAX_HEADER:
        problem = f"expected at most {_MAX_HEADER} bytes, got {len(text)}: too many tensors"
        raise UnsupportedError(path, "header", problem)
    return len(text).to_bytes(8, "little") + text
