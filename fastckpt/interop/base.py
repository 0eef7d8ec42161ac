"""What conversion knows of a format: which tensors a source has, and what a target can hold.

A format is a module with a class that reads it, a `Source`, and one that writes it, a `Target`.
Both hand over one tensor at a time, and neither knows which format the other one is of.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from ..errors import CheckpointError, FormatError, UnsupportedError
from ..format.dtypes import DType
from ..format.shapes import check
from ..format.values import encode_value
from ..storage.folder import Staging

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = [
    "NUMPYS_OWN",
    "Source",
    "StagedTarget",
    "Target",
    "Tensor",
    "as_format_error",
    "check_dtypes",
    "check_names",
    "check_no_nul",
    "check_shape",
    "check_tree",
    "find_dtype",
    "import_optional",
    "refuse",
]

_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="StagedTarget")

_BROKEN: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
) + (SyntaxError, SystemError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
_CASTABLE: Final = ("float", "bfloat", "complex", "int", "uint")  # not the quantized ones

NUMPYS_OWN: Final = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16"]
    + ["float32", "float64", "complex64", "complex128", "string"]
)  # what needs no other package's dtypes, and none of TensorFlow's quantized ones


class Tensor(NamedTuple):
    """A tensor by its name in the source. `nbytes` of strings are a guess: they are not read."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    nbytes: int


class Source(Protocol):
    """An open file or folder of tensors."""

    path: str

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order in which they are read fastest. Reads no data."""

    def read(self, name: str) -> Array:
        """Return a tensor: private, in native byte order; strings are object arrays of `bytes`."""

    def close(self) -> None:
        """Give files back."""


class Target(Protocol):
    """A file or folder in the making, from all its tensors' names, dtypes and shapes.

    Leaving the block makes it visible; an exception leaves what was there. `order` has the tensors
    as they must be added.
    """

    order: Sequence[Tensor]

    def add(self, tensor: Tensor, array: Array) -> None:
        """Write a tensor."""

    def __enter__(self: _T) -> _T: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class StagedTarget:
    """A target that is staged: what is told by the names and dtypes is refused before `__enter__`,
    and nothing is made until then."""

    _replaces_folder = False

    def __init__(self, path: str, order: Sequence[Tensor]) -> None:
        self.path = path
        self.order = order

    def _open(self, new: str, stack: ExitStack) -> None:
        """Open what is to be written at the path `new`; `stack` closes it before it is renamed."""
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


def check_dtypes(path: str, format: str, tensors: Iterable[Tensor], held: Collection[str]) -> None:
    """Raise `UnsupportedError` for a tensor of a dtype that is not among those `held`."""
    for tensor in tensors:
        if tensor.dtype.name not in held:
            why = f"{format} has no dtype {tensor.dtype.name}; leave the tensor out with exclude"
            if tensor.dtype.name.startswith(_CASTABLE):
                why += ", or give it another one first with fastckpt.cast"
            raise refuse(path, tensor.name, why)


def check_names(path: str, format: str, tensors: Iterable[Tensor]) -> None:
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
    path: str, format: str, tensors: Sequence[Tensor], reserved: Collection[str] = ()
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
    """Turn what other people's parsers raise for bytes that make no sense into `FormatError`. Our
    own errors pass, and so does an `OSError` of the system's, which has a number."""
    try:
        yield
    except CheckpointError:
        raise
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            error.filename = error.filename or path
            raise
        raise FormatError(path, what, str(error) or type(error).__name__) from error


def import_optional(name: str) -> Any:
    """Import a package that only conversion needs. Raises `ImportError` that says how to get it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"{name} is not installed; in a checkout: python -m pip install '.[convert]'"
        raise ImportError(message, name=name) from error
