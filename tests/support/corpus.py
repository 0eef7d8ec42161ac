"""The golden corpus: its cases, and what expected.json says TensorFlow reads in them."""

import base64
import hashlib
import json
import struct

import numpy as np
from places import GOLDEN


class Case:
    """One V2 checkpoint of the corpus, and its part of expected.json."""

    def __init__(self, folder, document, prefix):
        self.folder = folder
        self.name = document["case"]
        self.prefix = folder / prefix
        self.is_crafted = "crafted_from" in document
        self.expected = document["checkpoints"][prefix]
        self.tensors = self.expected["tensors"]
        self.shards = sorted(
            self.prefix.parent / name for name in self.expected["files"] if ".data-" in name
        )

    def __repr__(self):
        return f"{self.name}:{self.prefix.name}"


def load_documents():
    documents = {}
    for path in sorted(GOLDEN.glob("*/expected.json")):
        documents[path.parent] = json.loads(path.read_text(encoding="utf-8"))
    return documents


DOCUMENTS = load_documents()
CASES = [
    Case(folder, document, prefix)
    for folder, document in DOCUMENTS.items()
    for prefix, expected in document["checkpoints"].items()
    if expected["format"] == "V2"
]
STATES = [
    (folder, document["states"]["checkpoint"])
    for folder, document in DOCUMENTS.items()
    if "checkpoint" in document.get("states", {}) and not folder.name.startswith("v1_")
]
SLICES = [(case, part) for case in CASES for part in case.expected.get("slices", [])]
# without "gap", whose slices leave one
WHOLE = [case for case in CASES if case.name != "tf2_slices"]
# one data file in the order of one SaveV2: what a Writer can write again, byte for byte
REWRITABLE = [case for case in WHOLE if len(case.shards) == 1 and not case.is_crafted]

assert len(CASES) >= 40, "the golden corpus is not there"
assert STATES and SLICES and REWRITABLE, "the golden corpus is not complete"


def key_of(record):
    if "key" in record:
        return record["key"].encode()
    return base64.b64decode(record["key_b64"])


def name_of(record):
    return key_of(record).decode("utf-8", "surrogateescape")


def sha256_of(record):
    """The hash of a tensor's values, None where it has none that can be read."""
    return record.get("sha256") or record.get("saved_sha256")


def readable(case):
    return [record for record in case.tensors if sha256_of(record)]


def unreadable(case):
    return [record for record in case.tensors if not sha256_of(record)]


def values_digest(array):
    """What expected.json calls sha256."""
    if array.dtype == object:
        items = array.reshape(-1).tolist()
        data = b"".join(struct.pack("<Q", len(item)) + item for item in items)
    else:
        assert array.dtype.byteorder in "=<|"
        data = stored_bytes(array)
    return hashlib.sha256(data).hexdigest()


def stored_bytes(array):
    """The bytes of an array of numbers as a data file has them, little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def same_values(first, second, dtype):
    return values_digest(np.asarray(first, dtype)) == values_digest(np.asarray(second, dtype))


def numpy_name(tf_dtype):
    """The NumPy dtype of a TensorFlow one: quantized types are plain integers."""
    names = {"string": "object", "variant": "object"}
    return names.get(tf_dtype) or tf_dtype.removeprefix("q")


def parse_slice_spec(spec):
    """The index that a shape_and_slice string such as "8 6 0,4:-" means."""
    index = []
    for extent in spec.split(" ")[-1].split(":"):
        if extent == "-":
            index.append(slice(None))
        else:
            start, length = map(int, extent.split(","))
            index.append(slice(start, start + length))
    return tuple(index)


def intact_tensors():
    """What was saved before the damage (base_small in golden/scripts/make_crafted.py)."""
    floats = np.arange(12, dtype=np.float32).reshape(3, 4)
    strings = np.empty(3, dtype=object)
    strings[:] = [b"alpha", b"", b"gamma" * 30]
    return {
        "a/float": floats,
        "b/str": strings,
        "c/int64": np.array([1, 2, 3, -4, 5], np.int64),
        "d/sliced": np.concatenate([floats, floats[:1]]),
        "e/half": np.array([1.5, 2.5], np.float16),
    }
