"""What the fuzzers give bytes to. A target is a function of the bytes of one input: it does with
them what a program would do with files from a stranger, and returns.

`fastckpt.CheckpointError`, and `FileNotFoundError` where bytes name other files, are how broken
input ends. Any other exception is a finding, and so is an answer that contradicts another one: a
view and a copy, a listing and a look-up, a slice and NumPy's. Memory, time and reads outside of
what is there are for the process to watch: a fuzzer, or pytest under AddressSanitizer.

Neither atheris nor TensorFlow is needed here: tests/test_fuzz_corpus.py replays the corpora.
"""

import contextlib
import os
import struct

import numpy as np
from fuzz.inputs import attempt, folder, require, write, write_bundle
from fuzz.reading import MAX_TENSORS, compare_values, read_all, rescue, same
from fuzz.tiles import build_tiled, read_index
from slice_keys import slice_key as reference_key

import fastckpt
from fastckpt.format._payload import decode_strings, encode_strings, verify_variants
from fastckpt.format._record import decode_entry, encode_entry, slice_key
from fastckpt.format.checksum import crc32c, mask
from fastckpt.graph.nodes import Function
from fastckpt.graph.objects import decode_graph, encode_graph
from fastckpt.interop.convert import convert
from fastckpt.paths.state import get_checkpoint_state, latest_checkpoint, read_state, write_state

HDF5 = b"\x89HDF\r\n\x1a\n"  # what such files begin with


def run_bundle(data):
    """Read a V2 checkpoint in every way."""
    with folder() as path:
        prefix = write_bundle(path, data)
        values = {}
        for backend in ("pread", "mmap"):
            checkpoint, _ = attempt(fastckpt.read, prefix, backend=backend)
            if checkpoint is not None:
                with checkpoint:
                    found = read_all(checkpoint)
                    compare_values(values, found)
                    values = found
        loaded, _ = attempt(fastckpt.load, prefix, threads=1)
        compare_values(values, loaded or {})


def run_rescue(data):
    """Examine, compare and salvage a V2 checkpoint."""
    with folder() as path:
        rescue(write_bundle(path, data), os.path.join(path, "saved"))


def run_v1(data):
    """Read and salvage a V1 checkpoint of one file."""
    with folder() as path:
        name = write(os.path.join(path, "model.ckpt"), data)
        checkpoint, _ = attempt(fastckpt.read, name)
        if checkpoint is not None:
            with checkpoint:
                read_all(checkpoint)
        rescue(name, os.path.join(path, "saved"))


def run_state(data):
    """Read a state file; what was read, written and read again is the same."""
    with folder() as path:
        write(os.path.join(path, "checkpoint"), data)
        for read in (latest_checkpoint, get_checkpoint_state):
            with contextlib.suppress(OSError):  # of whatever path it names
                attempt(read, path)
        state, _ = attempt(read_state, os.path.join(path, "checkpoint"))
        if state is not None:
            again = os.path.join(path, "again")
            write_state(again, state, sync=False)
            require(repr(read_state(again)) == repr(state), "other when read again")
        with contextlib.suppress(OSError):
            str(fastckpt.doctor(path))


def run_graph(data):
    """Read an object graph; what was encoded again is the same."""
    graph, _ = attempt(decode_graph, data, "graph")
    if graph is None:
        return
    str(graph), repr(graph.root), graph.save_counter
    encoded = encode_graph(graph)
    again = decode_graph(encoded, "graph")
    require(encode_graph(again) == encoded, "other when encoded again")
    require(str(again) == str(graph), "prints otherwise")
    require(again.variables() == graph.variables(), "other variables")
    require(again.full_names() == graph.full_names(), "other names")


def run_meta(data):
    """Read a graph: every part of it."""
    with folder() as path:
        meta, _ = attempt(fastckpt.read_meta, write(os.path.join(path, "model.meta"), data))
        if meta is None:
            return
        for part in ("collections", "variables", "signatures", "functions", "assets"):
            attempt(lambda part=part: repr(getattr(meta, part)))
        for variable in (attempt(lambda: meta.variables)[0] or ())[:MAX_TENSORS]:
            for part in ("dtype", "shape", "full_name", "full_shape", "var_offset", "var_shape"):
                attempt(lambda v=variable, part=part: getattr(v, part))
        attempt(use_nodes, meta.nodes)
        attempt(meta.nodes.find, "no such node")


def use_nodes(nodes):
    for node in nodes:
        use_attributes(node.attrs)


def use_attributes(attributes, depth=4):
    """Decode all; those of functions that attributes call, too."""
    for name in attributes:
        value, _ = attempt(attributes.__getitem__, name)
        repr(value)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Function) and depth:
                attempt(use_attributes, each.attrs, depth - 1)


def run_strings(data):
    """Decode a payload of strings with and without right checksums, and one of variants.

    The first byte is the byte order, the next two are the number of elements.
    """
    is_big_endian, count, payload = (
        data[:1] > b"\x7f",
        int.from_bytes(data[1:3], "little"),
        data[3:],
    )
    attempt(verify_variants, payload, count, mask(crc32c(payload)), "data", "tensor")
    for mended, crc in ((payload, 0), mend_strings(payload, count, is_big_endian)):
        found, _ = attempt(decode_strings, mended, count, is_big_endian, crc, "data", "tensor")
        if found is not None:
            require(len(found) == count, "not as many as there should be")
            encoded, crc = encode_strings(found)
            require(decode_strings(encoded, count, False, crc, "", "") == found, "other strings")


def mend_strings(payload, count, is_big_endian):
    """Return the payload with a right checksum of its lengths, and the checksum of all."""
    order, at, covered = "><"[not is_big_endian], 0, []
    while len(covered) < count and at < len(payload):
        length, shift, more = 0, 0, True
        while more and at < len(payload):
            length |= (payload[at] & 127) << shift
            shift, more, at = shift + 7, payload[at] > 127, at + 1
        length &= (1 << 64) - 1
        covered.append(struct.pack(order + ("I" if length < 1 << 32 else "Q"), length))
    middle = struct.pack(order + "I", mask(crc32c(b"".join(covered))))
    strings = payload[at + 4 :]
    crc = crc32c(b"".join([*covered, middle, strings]))
    return payload[:at] + middle + strings, mask(crc)


def run_entry(data):
    """Decode a record of an index, and make the keys of its slices."""
    entry, _ = attempt(decode_entry, data, "index", "entry")
    if entry is None:
        return
    crc = 0 if entry.slices else entry.crc32c  # beside slices there is none
    numbers = (entry.dtype, entry.shape, entry.shard_id, entry.offset, entry.size, crc)
    again = decode_entry(encode_entry(*numbers, entry.slices), "index", "entry")
    found = (again.dtype, again.shape, again.shard_id, again.offset, again.size)
    require(found == numbers[:5] and again.slices == entry.slices, "other when decoded again")
    require(entry.slices or again.crc32c == crc, "another checksum")
    for box in entry.slices:
        require(slice_key(b"v\0\xff", box) == reference_key(b"v\0\xff", box), "other key")


def run_tiles(data):
    """Read a tensor of slices that the bytes describe, whole and in part, as NumPy would."""
    with folder() as path:
        tiled, rest = build_tiled(data)
        with fastckpt.read(write_bundle(path, tiled.container)) as checkpoint:
            found, error = attempt(checkpoint.get_tensor, "v")
            require(tiled.has_empty or (tiled.value is None) == (found is None), f"wrong: {error}")
            if found is not None and tiled.value is not None:
                require(same(found, tiled.value), "other elements")
                require_same_part(checkpoint.get_slice("v"), tiled.value, read_index(rest))


def require_same_part(handle, whole, index):
    """An index gives what it gives on the array, and an IndexError where it does there."""
    try:
        expected = whole[index]
    except (IndexError, ValueError) as error:
        with contextlib.suppress(type(error)):
            require(handle[index] is None, f"[{index}] is {error!r} on the array")
    else:
        require(same(np.asarray(handle[index]), np.asarray(expected)), f"other part {index}")


# ---- Foreign formats


def run_npz(data):
    """Convert a NumPy archive."""
    convert_from(data, "source.npz")


def run_safetensors(data):
    """Convert a safetensors file."""
    convert_from(data, "source.safetensors")


def convert_from(data, name):
    if HDF5 in data:  # told by its content, and not ours to fuzz
        return
    with folder() as path:
        out = os.path.join(path, "out")
        _, error = attempt(convert, write(os.path.join(path, name), data), out)
        if error is None:
            with fastckpt.read(out) as checkpoint:
                checkpoint.verify(threads=1)
                read_all(checkpoint)
        else:
            require(os.listdir(path) == [name], "a conversion that failed left something")


TARGETS = {
    name.removeprefix("run_"): function
    for name, function in list(globals().items())
    if name.startswith("run_")
}
