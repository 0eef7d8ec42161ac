"""The interface of formats: a source lists and reads tensors, a target takes them one at a time.

A format is a module with a `TensorSource` and a `TensorTarget`. Neither knows which format the
other one is of. What they share is here: checks of names, dtypes and shapes, the bound on memory,
and the translation of other libraries' exceptions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from ..errors import CheckpointError, Fault, FormatError, UnsupportedError
from ..format.dtypes import DType
from ..format.shapes import check
from ..format.values import encode_value
from ..storage.folder import Staging
from ..storage.streams import ReadStream

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = [
    "NUMPYS_OWN",
    "STRING_OBJECT",
    "Budget",
    "StagedTarget",
    "TensorSource",
    "TensorHeader",
    "TensorTarget",
    "as_format_error",
    "check_dtypes",
    "check_names",
    "check_no_nul",
    "check_shape",
    "check_tree",
    "find_dtype",
    "import_optional",
    "parsing",
    "refuse",
]

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="StagedTarget")

_EXPANSION: Final = 8  # bytes of memory for a byte of a source
_OBJECTS: Final = 64  # bytes of Python objects for a byte of a source
_SPARE: Final = 64 << 20
STRING_OBJECT: Final = 48  # bytes of memory for a short `bytes` and the pointer to it
_CASTABLE: Final = ("float", "bfloat", "complex", "int", "uint")  # not the quantized ones

NUMPYS_OWN: Final = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16"]
    + ["float32", "float64", "complex64", "complex128", "string"]
)  # what needs no other package's dtypes, and none of TensorFlow's quantized ones


class TensorHeader(NamedTuple):
    """The name, dtype and shape of a tensor. `nbytes` of strings is an estimate: their lengths are
    not known before they are read."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    nbytes: int


class TensorSource(Protocol):
    """An open file or folder of tensors."""

    path: str

    def tensors(self) -> list[TensorHeader]:
        """Return all tensors, in the order in which they are read fastest. Reads no data."""

    def read(self, name: str) -> Array:
        """Return a tensor in private memory and native byte order; strings as objects, `bytes`.

        Raises `FormatError` if the data are broken, or need more memory than the budget allows.
        """

    def owns(self, path: str) -> bool:
        """Return whether a path is one of several files that the source consists of."""

    def close(self) -> None:
        """Close the files."""


class TensorTarget(Protocol):
    """A file or folder that is being written. Its constructor takes the specs of all tensors.

    Leaving the block makes the result visible; an exception leaves what was at the path. `order`
    lists the tensors in the order in which they must be added.
    """

    order: Sequence[TensorHeader]

    def add(self, tensor: TensorHeader, array: Array) -> None:
        """Write a tensor."""

    def __enter__(self: _T) -> _T: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Budget:
    """The memory that one tensor of a source may take, by the `size` of the source's files.

    Bytes: 8 times the size, and 64 MB. Python objects: 64 times the size, and 64 MB, for a file may
    list a string in every other byte. `most`, if it is given, replaces both bounds.
    """

    def __init__(self, path: str, size: int, most: int | None = None) -> None:
        self._path = path
        self._size = size
        self.bytes = _EXPANSION * size + _SPARE if most is None else most
        self.objects = _OBJECTS * size + _SPARE if most is None else most

    def check(self, what: str, nbytes: int) -> None:
        """Raise `FormatError` unless `nbytes` bytes are within the bound."""
        self._check(what, nbytes, self.bytes)

    def check_objects(self, what: str, count: int, each: int) -> None:
        """Raise `FormatError` unless objects of `each` bytes are within the bound."""
        self._check(what, count * each, self.objects)

    def _check(self, what: str, nbytes: int, most: int) -> None:
        if nbytes > most:
            problem = (
                f"a source of {self._size} bytes cannot be {nbytes} bytes of tensor; if it is "
            )
            problem += "to be trusted, convert it with max_memory"
            raise FormatError(self._path, what, problem, fault=Fault.TOO_LARGE)


class StagedTarget:
    """A target that is staged. Its constructor refuses names and dtypes that the format cannot
    hold; nothing is made before `__enter__`."""

    _replaces_folder = False

    def __init__(self, path: str, order: Sequence[TensorHeader]) -> None:
        self.path = path
        self.order = order

    def _open(self, new: str, stack: ExitStack) -> None:
        """Create the file or folder at the path `new`; `stack` closes it before it is renamed."""
        raise NotImplementedError

    def __enter__(self: _Self) -> _Self:
        with ExitStack() as stack:
            staging = Staging(self.path, replaces_folder=self._replaces_folder)
            self._open(stack.enter_context(staging).new, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def refuse(path: str, name: str, why: str) -> UnsupportedError:
    """Return the error for a tensor that the format at `path` cannot hold, or not give."""
    return UnsupportedError(path, f"tensor {name!r}", why)


def check_dtypes(
    path: str, format: str, tensors: Iterable[TensorHeader], held: Collection[str]
) -> None:
    """Raise `UnsupportedError` for a tensor of a dtype that is not among those `held`."""
    for tensor in tensors:
        if tensor.dtype.name not in held:
            why = f"{format} has no dtype {tensor.dtype.name}; leave the tensor out with exclude"
            if tensor.dtype.name.startswith(_CASTABLE):
                why += ", or give it another one first with fastckpt.cast"
            raise refuse(path, tensor.name, why)


def check_names(path: str, format: str, tensors: Iterable[TensorHeader]) -> None:
    """Raise `UnsupportedError` for a name that is no text, or has a NUL in it."""
    for tensor in tensors:
        try:
            tensor.name.encode()
            is_text = "\0" not in tensor.name
        except UnicodeEncodeError:
            is_text = False
        if not is_text:
            why = f"a name in {format} is UTF-8 without NULs; choose another one with rename"
            raise refuse(path, tensor.name, why)


def check_tree(
    path: str, format: str, tensors: Sequence[TensorHeader], reserved: Collection[str] = ()
) -> None:
    """Raise `UnsupportedError` for a name that is no path of groups with an array at its end, or
    for an array that another one would be in."""
    check_names(path, format, tensors)
    names = {tensor.name for tensor in tensors}
    for name in names:
        parts = name.split("/")
        for part in parts:
            if part in ("", ".", "..") or part in reserved:
                why = f"{format} cannot have {part!r} in a path; choose another name with rename"
                raise refuse(path, name, why)
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            if above in names:
                why = f"in {format} nothing can be inside of tensor {above!r}; rename one of them"
                raise refuse(path, name, why)


def find_dtype(path: str, name: str, dtype: np.dtype[Any]) -> DType:
    """Return what an array of a NumPy dtype is in a checkpoint, or raise `UnsupportedError`."""
    try:
        return encode_value(name, np.empty(0, dtype))[0]
    except TypeError:
        raise refuse(path, name, f"a checkpoint cannot hold the dtype {dtype}") from None


def check_shape(path: str, name: str, shape: Sequence[int], dtype: DType) -> int:
    """Return the bytes of a tensor whose shape a stranger's file gives; of strings, the bytes of
    the pointers to them. Raises what `shapes.check` raises."""
    return check(shape, dtype, path, f"tensor {name!r}") * dtype.numpy.itemsize


def check_no_nul(path: str, format: str, name: str, array: Array) -> None:
    """Raise `UnsupportedError` for strings that do not come back as they are because they end with
    a NUL."""
    if any(each.endswith(b"\0") for each in array.reshape(-1).tolist()):
        why = f"{format} loses the NULs at the end of a string, and one here ends with one"
        raise refuse(path, name, why + "; leave the tensor out with exclude")


@contextmanager
def as_format_error(path: str, what: str) -> Iterator[None]:
    """Turn the exceptions of other libraries' parsers into `FormatError`.

    A parser meets bytes that make no sense, so that it may raise anything. Errors of this package,
    `MemoryError` and an `OSError` of the system, which has a number, pass.
    """
    try:
        yield
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            error.filename = error.filename or path
            raise
        raise FormatError(path, what, str(error) or type(error).__name__) from error


@contextmanager
def parsing(path: str, what: str, stream: ReadStream) -> Iterator[None]:
    """`as_format_error` for a parser that reads a stream. An error of the stream comes first: the
    parser got zeros in the place of bytes that could not be read."""
    try:
        with as_format_error(path, what):
            yield
    except CheckpointError:
        stream.check()
        raise
    stream.check()


def import_optional(name: str) -> Any:
    """Import a package that only conversion needs. Raises `ImportError` that says how to get it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"{name} is not installed; in a checkout: python -m pip install '.[convert]'"
        raise ImportError(message, name=name) from error
