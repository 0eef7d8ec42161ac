"""`.npz`: NumPy's archives. A zip file with one ``<name>.npy`` per tensor, each a header and bytes.

`zipfile` and NumPy parse them. Nothing is ever unpickled: an object array is an error. Strings are
NumPy's fixed-width ones (`S`), each padded with NULs to the length of the longest. Members are
stored uncompressed, as `numpy.savez` does; compressed ones are read, too.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError
from ..format.dtypes import STRING
from ..format.values import encode_value
from .base import (
    NUMPYS_OWN,
    StagedTarget,
    Tensor,
    as_format_error,
    check_dtypes,
    check_names,
    check_no_nul,
    check_shape,
    find_dtype,
    refuse,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["NpzSource", "NpzTarget"]

_SUFFIX: Final = ".npy"
_METHODS: Final = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}  # the most that it expands by
_HEADERS: Final = {  # by version; 3.0 is for names of fields, which no tensor has
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MAX_PADDING: Final = 16  # times the bytes of the strings themselves
_SMALL: Final = 16 << 20


class NpzSource:
    """The arrays of an archive, in its order. Raises `FormatError` for one that is broken."""

    def __init__(self, path: str) -> None:
        self.path = path
        with as_format_error(path, "archive"):
            self._archive = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            self._find_members(os.path.getsize(path))
        except BaseException:
            self._archive.close()
            raise

    def tensors(self) -> list[Tensor]:
        return [self._describe(name) for name in self._members]

    def read(self, name: str) -> Array:
        with self._open(name) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
            if stream.read(1):
                raise ValueError("expected the end of the array, got more bytes")
        return encode_value(name, array)[1]

    def close(self) -> None:
        self._archive.close()

    def _find_members(self, size: int) -> None:
        for info in self._archive.infolist():
            name = info.filename.removesuffix(_SUFFIX)
            if name == info.filename:
                why = "expected the name of an array (.npy), got another file"
                raise FormatError(self.path, f"member {name!r}", why)
            if name in self._members:
                raise FormatError(self.path, f"tensor {name!r}", "is there twice")
            factor = _METHODS.get(info.compress_type)
            if factor is None:
                raise refuse(self.path, name, "expected a stored or deflated member")
            if info.file_size > factor * info.compress_size:
                problem = f"{info.compress_size} bytes cannot be {info.file_size} bytes"
                raise FormatError(self.path, f"tensor {name!r}", problem)
            if info.header_offset < 0:
                problem = f"expected it inside of the file, got the offset {info.header_offset}"
                raise FormatError(self.path, f"tensor {name!r}", problem)
            size -= info.compress_size
            self._members[name] = info
        if size < 0:
            raise FormatError(self.path, "archive", "its members take more bytes than it has")

    def _describe(self, name: str) -> Tensor:
        """Return what a member's header says, after a check that its bytes are there."""
        with self._open(name) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise refuse(self.path, name, f"expected .npy version 1.0 or 2.0, got {version}")
            shape, _, dtype = _HEADERS[version](stream)
            start = stream.tell()
        if dtype.hasobject:
            raise refuse(self.path, name, "expected numbers or text, got pickled objects")
        found = find_dtype(self.path, name, dtype)
        nbytes = check_shape(self.path, name, shape, found)
        if found is STRING:
            nbytes = check_shape(self.path, name, (*shape, dtype.itemsize), found) // 8
        if nbytes != self._members[name].file_size - start:
            problem = f"expected {nbytes} bytes for dtype {dtype} and shape {shape}"
            raise FormatError(self.path, f"tensor {name!r}", problem)
        return Tensor(name, found, tuple(shape), nbytes)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        with (
            as_format_error(self.path, f"tensor {name!r}"),
            self._archive.open(self._members[name]) as stream,
        ):
            yield stream


class NpzTarget(StagedTarget):
    """An archive in the making: what `numpy.savez` would write, one array at a time.

    Raises `UnsupportedError` for dtypes that are not NumPy's own, and for strings that end with a
    NUL or that padding would blow up.
    """

    def __init__(self, path: str, tensors: Sequence[Tensor]) -> None:
        check_names(path, ".npz", tensors)
        check_dtypes(path, ".npz", tensors, NUMPYS_OWN)
        super().__init__(path, tensors)

    def add(self, tensor: Tensor, array: Array) -> None:
        if tensor.dtype is STRING:
            array = self._pad(tensor.name, array)
        member = zipfile.ZipInfo(tensor.name + _SUFFIX)
        with self._archive.open(member, "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, array, allow_pickle=False)

    def _open(self, new: str, stack: ExitStack) -> None:
        self._archive = stack.enter_context(zipfile.ZipFile(new, "x"))

    def _pad(self, name: str, array: Array) -> Array:
        """Return strings as fixed-width ones, if they come back as they are."""
        check_no_nul(self.path, ".npz", name, array)
        sizes = [len(each) for each in array.reshape(-1).tolist()]
        longest = max(sizes, default=0)
        if longest * len(sizes) > max(_SMALL, _MAX_PADDING * sum(sizes)):
            why = f"all its {len(sizes)} strings would take the {longest} bytes of the longest"
            raise refuse(self.path, name, why + "; leave the tensor out with exclude")
        return array.astype(f"S{max(1, longest)}")
