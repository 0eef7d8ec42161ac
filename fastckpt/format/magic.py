"""File formats by their first bytes: what a file is that is passed in place of a checkpoint.

People pass a pointer of Git LFS, an error page that was saved under the name of the file, an
archive, the weights of another library. Magic bytes decide; the name does only where bytes are not
enough. Opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["HEAD_SIZE", "FileKind", "guess_format", "recognise", "strip_download_suffix"]

HEAD_SIZE: Final = 4096  # bytes that `recognise` looks at


@dataclass(frozen=True, slots=True)
class FileKind:
    """A file format: its name, why such a file is found in place of a checkpoint, and the remedy.

    `todo` has a ``{path}`` for the path in quotes.
    """

    name: str
    why: str
    todo: str


_UNPACK: Final = "The checkpoint is in it, still packed."
_NOT_OURS: Final = "It is no TensorFlow checkpoint, and nothing is wrong with it."

EMPTY: Final = FileKind(
    "an empty file",
    "A download, a copy or a save that ended before the first byte, or a full disk.",
    "get the file again from where it came from",
)
_LFS: Final = FileKind(
    "a Git LFS pointer",
    "The repository was cloned without Git LFS, so this text of three lines stands for the file.",
    "git lfs install && git lfs pull",
)
_HTML: Final = FileKind(
    "a web page",
    "The server answered with a page (a log-in, a warning, an error), and it was saved under the "
    "name of the file.",
    "open {path} in a browser to see what it says, then download the file itself (on GitHub: "
    "the 'raw' link)",
)
_XML: Final = FileKind(
    "an XML document",
    "Most likely the error message of a storage service (no access, no such object), saved under "
    "the name of the file.",
    "read {path}, then download the file again with the right address and credentials",
)
_JSON: Final = FileKind(
    "a JSON document",
    "Under the name of another file it is most likely the error message of a web service.",
    "read {path}; if it is an error, download the file again",
)
_STATE: Final = FileKind(
    "a state file",
    "It lists the checkpoints of its folder, as the file `checkpoint` does, and holds none.",
    "pass the prefix that it names, or its folder if it is called `checkpoint`",
)
_PYTORCH: Final = FileKind(
    "a PyTorch file", _NOT_OURS, "torch.load({literal}, weights_only=True)  # with PyTorch"
)
_PICKLE: Final = FileKind(
    "a Python pickle",
    _NOT_OURS + " Loading a pickle runs code that is in it: only do so if you trust its source.",
    "pickle.load(open({literal}, 'rb')), or torch.load({literal}) if PyTorch wrote it",
)
_KERAS: Final = FileKind("a Keras 3 model", _NOT_OURS, "keras.saving.load_model({literal})")
_NPZ: Final = FileKind("a NumPy archive (.npz)", _NOT_OURS, "numpy.load({literal})")
_ZIP: Final = FileKind("a zip archive", _UNPACK, "unzip {path}")
_HDF5: Final = FileKind(
    "an HDF5 file", _NOT_OURS + " Keras saves weights and models so (.h5).", "h5py.File({literal})"
)
_SAFETENSORS: Final = FileKind(
    "a safetensors file", _NOT_OURS, "safetensors.numpy.load_file({literal})"
)
_ONNX: Final = FileKind("an ONNX model", _NOT_OURS, "onnx.load({literal})")
_SAVED_MODEL: Final = FileKind(
    "the graph of a SavedModel",
    "It holds no weights: they are in the folder `variables` beside it.",
    "pass the folder that has saved_model.pb and variables/ in it",
)
_GRAPH: Final = FileKind(
    "a GraphDef (frozen graph)",
    "A graph of TensorFlow 1 with its weights as constants: no checkpoint, and it cannot be made "
    "one without its variables' names.",
    "tf.compat.v1.GraphDef.FromString(open({literal}, 'rb').read())  # with TensorFlow",
)
_EVENTS: Final = FileKind("an event file of TensorBoard", _NOT_OURS, "tensorboard --logdir FOLDER")

_MAGIC: Final = (  # offset, bytes, kind
    (0, b"version https://git-lfs.github.com/spec/", _LFS),
    (0, b"\x89HDF\r\n\x1a\n", _HDF5),
    (0, b"\x93NUMPY", FileKind("a NumPy array (.npy)", _NOT_OURS, "numpy.load({literal})")),
    (0, b"\x1f\x8b", FileKind("a gzip archive", _UNPACK, "tar -xzf {path}, or gunzip {path}")),
    (0, b"BZh", FileKind("a bzip2 archive", _UNPACK, "tar -xjf {path}, or bunzip2 {path}")),
    (0, b"\xfd7zXZ\0", FileKind("an xz archive", _UNPACK, "tar -xJf {path}, or unxz {path}")),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("a 7-Zip archive", _UNPACK, "7z x {path}")),
    (0, b"\x28\xb5\x2f\xfd", FileKind("a zstd archive", _UNPACK, "tar --zstd -xf {path}")),
    (0, b"Rar!\x1a\x07", FileKind("a RAR archive", _UNPACK, "unrar x {path}")),
    (257, b"ustar", FileKind("a tar archive", _UNPACK, "tar -xf {path}")),
    (0, b"GGUF", FileKind("a GGUF file", _NOT_OURS, "load it with llama.cpp")),
    (4, b"TFL3", FileKind("a TensorFlow Lite model", _NOT_OURS, "tf.lite.Interpreter({literal})")),
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", _PYTORCH),
    (24, b"brain.Event:", _EVENTS),
    (23, b"brain.Event:", _EVENTS),
)
_IN_ZIP: Final = (  # what the names of the first members say
    (b"/data.pkl", _PYTORCH),
    (b"model.weights.h5", _KERAS),
    (b"config.json", _KERAS),
    (b".npy", _NPZ),
)
_TEXT_STARTS: Final = (
    (b"<!doctype html", _HTML),
    (b"<html", _HTML),
    (b"<head", _HTML),
    (b"<?xml", _XML),
    (b"<error", _XML),
    (b'{"', _JSON),
    (b"{\n", _JSON),
    (b"{\r\n", _JSON),
    (b"model_checkpoint_path:", _STATE),
)
_OP: Final = re.compile(rb"[A-Z][A-Za-z0-9_>]*")
_NUMBERED: Final = re.compile(r"(?P<stem>.*?) ?\((?P<number>\d{1,3})\)(?P<rest>(?:\.[^ ]*)?)")
_SUFFIXES: Final = (".txt", ".download", ".crdownload", ".partial", ".part", ".bin", ".dms")


def recognise(head: bytes, size: int, name: str) -> FileKind | None:
    """Return the format of a file, None if it may be any: data files have no magic.

    `head` are its first `HEAD_SIZE` bytes or less, `size` all of its bytes, `name` its last path
    component.
    """
    if not size:
        return EMPTY
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    for test in _TESTS:
        found = test(head, size, name)
        if found is not None:
            return found
    return None


def _test_text(head: bytes, size: int, name: str) -> FileKind | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    return next((kind for start, kind in _TEXT_STARTS if text.startswith(start)), None)


def _test_zip(head: bytes, size: int, name: str) -> FileKind | None:
    if not head.startswith(b"PK\x03\x04"):
        return None
    return next((kind for member, kind in _IN_ZIP if member in head), _ZIP)


def _test_safetensors(head: bytes, size: int, name: str) -> FileKind | None:
    length = int.from_bytes(head[:8], "little")
    is_one = 2 <= length <= size - 8 and head[8:10].lstrip().startswith(b"{")
    return _SAFETENSORS if is_one and b'"' in head[9:64] else None


def _test_pickle(head: bytes, size: int, name: str) -> FileKind | None:
    is_protocol = len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    return _PICKLE if is_protocol and head[2:3] in b"\x95}]({c\x8a" else None


def _test_saved_model(head: bytes, size: int, name: str) -> FileKind | None:
    is_one = head.startswith(b"\x08\x01\x12") or name == "saved_model.pbtxt"
    return _SAVED_MODEL if is_one and name.startswith("saved_model.pb") else None


def _test_onnx(head: bytes, size: int, name: str) -> FileKind | None:
    """An ir_version below 32, then the name of a producer or a version of operators."""
    is_one = len(head) > 3 and head[0] == 0x08 and 0 < head[1] < 32 and head[2] in b"\x12\x3a\x42"
    is_named = is_one and head[2] == 0x12 and head[4 : 4 + min(head[3], 64)].isascii()
    return _ONNX if is_one and (is_named or name.endswith(".onnx")) else None


def _test_graph(head: bytes, size: int, name: str) -> FileKind | None:
    """A node first: its name, then the name of its operator."""
    if not head.startswith(b"\x0a"):
        return None
    at = 1
    while at < min(len(head), 6) and head[at] >= 0x80:
        at += 1
    at += 1
    if head[at : at + 1] != b"\x0a" or at + 2 >= len(head):
        return None
    at += 2 + head[at + 1]  # names of nodes are mostly shorter than 128 bytes
    if head[at : at + 1] != b"\x12" or at + 2 >= len(head):
        return None
    op = head[at + 2 : at + 2 + head[at + 1]]
    return _GRAPH if _OP.fullmatch(op) else None


def guess_format(head: bytes) -> str:
    """Return "V1" or "V2" for the beginning of a checkpoint's table, else "". The first key of such
    a table is empty, and the record after it tells the formats apart."""
    at = 2
    while at < min(len(head), 7) and head[at] >= 0x80:
        at += 1
    first = head[at + 1 : at + 2]
    if head[:2] != b"\0\0" or not first:
        return ""
    return {b"\x0a": "V1", b"\x08": "V2"}.get(first, "")


_TESTS: Final[tuple[Callable[[bytes, int, str], FileKind | None], ...]] = (
    _test_text,
    _test_zip,
    _test_safetensors,
    _test_pickle,
    _test_saved_model,
    _test_onnx,
    _test_graph,
)


def strip_download_suffix(name: str) -> str | None:
    """Return a file name as it was before a browser added ``.txt`` or the like at the end, or
    `` (1)`` before the extension; None if it did neither."""
    stripped = name
    while True:
        suffix = next((each for each in _SUFFIXES if stripped.endswith(each)), None)
        if suffix is not None:
            stripped = stripped[: -len(suffix)]
            continue
        match = _NUMBERED.fullmatch(stripped)
        if match is None:
            return stripped if stripped not in ("", name) else None
        stripped = match["stem"] + match["rest"]
