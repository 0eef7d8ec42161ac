"""`.npz`: NumPy's archive, a zip file with one ``<name>.npy`` per tensor, each a header and bytes.

`zipfile` and NumPy parse it. Nothing is ever unpickled: an object array is an error. Strings are
NumPy's fixed-width ones (`S`), each padded with NULs to the length of the longest. Members are
written uncompressed, as `numpy.savez` does; compressed members are read.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import FormatError
from ..format.dtypes import STRING
from ..format.values import encode_value
from ..storage.streams import ReadStream, create_file, open_file
from .base import (
    NUMPYS_OWN,
    STRING_OBJECT,
    Budget,
    StagedTarget,
    TensorHeader,
    check_dtypes,
    check_names,
    check_no_nul,
    check_shape,
    find_dtype,
    parsing,
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
    """The arrays of an archive, in its order. Raises `FormatError` if the archive is broken."""

    def __init__(self, path: str, max_memory: int | None = None) -> None:
        self.path = path
        with ExitStack() as stack:
            file = open_file(path)
            stack.callback(file.close)
            self._budget = Budget(path, file.size, max_memory)
            self._stream = ReadStream(file)
            with parsing(path, "archive", self._stream):
                self._archive = stack.enter_context(zipfile.ZipFile(self._stream))
            self._members: dict[str, zipfile.ZipInfo] = {}
            self._find_members(file.size)
            self._stack = stack.pop_all()

    def tensors(self) -> list[TensorHeader]:
        return [self._describe(name) for name in self._members]

    def read(self, name: str) -> Array:
        with self._open(name) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
            if stream.read(1):
                raise ValueError("expected the end of the array, got more bytes")
        return encode_value(name, array)[1]

    def owns(self, path: str) -> bool:
        return False

    def close(self) -> None:
        self._stack.close()

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

    def _describe(self, name: str) -> TensorHeader:
        """Return what the header of a member says, after a check that its bytes are there."""
        what, member = f"tensor {name!r}", self._members[name]
        with self._open(name) as stream:
            shape, dtype = self._read_header(name, stream)
            start = stream.tell()
        if dtype.hasobject:
            raise refuse(self.path, name, "expected numbers or text, got pickled objects")
        found = find_dtype(self.path, name, dtype)
        nbytes = check_shape(self.path, name, shape, found)
        if found is STRING:
            nbytes = check_shape(self.path, name, (*shape, dtype.itemsize), found) // 8
            self._budget.check_objects(what, math.prod(shape), STRING_OBJECT)
        if nbytes != member.file_size - start:
            problem = f"expected {nbytes} bytes for dtype {dtype} and shape {shape}"
            raise FormatError(self.path, what, problem)
        self._budget.check(what, nbytes)
        return TensorHeader(name, found, tuple(shape), nbytes)

    def _read_header(self, name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise refuse(self.path, name, f"expected .npy version 1.0 or 2.0, got {version}")
        try:
            shape, _, dtype = _HEADERS[version](stream)
        except MemoryError as error:  # of a parser that nests too deep; a header has some kB
            raise ValueError("expected a header of a few brackets") from error
        return shape, dtype

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        with (
            parsing(self.path, f"tensor {name!r}", self._stream),
            self._archive.open(self._members[name]) as stream,
        ):
            yield stream


class NpzTarget(StagedTarget):
    """An archive that is being written as `numpy.savez` writes it, one array at a time.

    Raises `UnsupportedError` for dtypes that are not NumPy's own, and for strings that end with a
    NUL or that padding would blow up.
    """

    def __init__(self, path: str, tensors: Sequence[TensorHeader]) -> None:
        check_names(path, ".npz", tensors)
        check_dtypes(path, ".npz", tensors, NUMPYS_OWN)
        super().__init__(path, tensors)

    def add(self, tensor: TensorHeader, array: Array) -> None:
        if tensor.dtype is STRING:
            array = self._pad(tensor.name, array)
        member = zipfile.ZipInfo(tensor.name + _SUFFIX)
        with self._archive.open(member, "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, array, allow_pickle=False)

    def _open(self, new: str, stack: ExitStack) -> None:
        file = stack.enter_context(create_file(new))
        self._archive = stack.enter_context(zipfile.ZipFile(file, "w"))

    def _pad(self, name: str, array: Array) -> Array:
        """Return strings in an array of fixed width, if they come back as they are."""
        check_no_nul(self.path, ".npz", name, array)
        sizes = [len(each) for each in array.reshape(-1).tolist()]
        longest = max(sizes, default=0)
        if longest * len(sizes) > max(_SMALL, _MAX_PADDING * sum(sizes)):
            why = f"all its {len(sizes)} strings would take the {longest} bytes of the longest"
            raise refuse(self.path, name, why + "; leave the tensor out with exclude")
        return array.astype(f"S{max(1, longest)}")
