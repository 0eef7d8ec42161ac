"""Broken and hostile checkpoints: an error of ours or the right answer, never anything else.

Four kinds: the broken files of the golden corpus; a small checkpoint cut at every length and
with every byte flipped; random damage below checksums that were made right again; and bombs,
small files that ask for large things. All but the second kind are read in a process of its own
with a limit on memory and time (`python test_corruption.py` is that process), so that a crash,
a hang or a large allocation is a failed test.
"""

import contextlib
import errno
import faulthandler
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import bundle_bytes as bb
import numpy as np
import pytest
from corpus import intact_tensors, values_digest
from places import GOLDEN
from slice_keys import slice_key

import fastckpt

SECONDS = 30  # for one checkpoint
ADDRESS_SPACE = 512 << 20  # bytes more than the process has when it begins
SPARE = 64 << 20  # bytes that reading may take whatever the size of the files


# ---- the process that reads: one JSON object in per checkpoint, one out


def probe_all():
    """Read each checkpoint that stdin names in every way, and say what came of it."""
    limit_memory()
    for line in sys.stdin:
        request = json.loads(line)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        before = reset_peak_memory()
        finding = Probe(request["prefix"], request["names"]).read()
        finding["peak"] = peak_memory() - before
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(finding), flush=True)


def limit_memory():
    """Let any large allocation fail. Linux only; elsewhere the time limit alone is left."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def reset_peak_memory():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory():
    """The highest resident size since the last reset, in bytes; 0 where nobody counts it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) << 10


class Probe:
    """Reads one checkpoint. What is right or wrong is for the tests to say, except for
    `unexpected`: exceptions that no input may raise."""

    def __init__(self, prefix, names):
        self.prefix = prefix
        self.names = names
        self.finding = {
            "opened": False,
            "errors": {},
            "missing_files": [],
            "unexpected": [],
            "names": None,
            "infos": {},
            "values": {},
            "problems": 0,
        }

    def read(self):
        for backend in ("mmap", "pread"):
            opened = self.attempt(f"open {backend}", self.open, backend=backend)
            if opened is not None:
                with opened as ckpt:
                    self.read_index(ckpt)
                    self.read_tensors(ckpt, backend)
                    self.count_problems(ckpt)
        opened = self.attempt("open verify", self.open, verify=True)
        if opened is not None:
            with opened as ckpt:
                for name in self.names:
                    self.value(name, "verify", lambda name=name: ckpt[name])
        loaded = self.attempt("load", lambda: fastckpt.load(self.prefix, threads=1))
        for name, array in (loaded or {}).items():
            if len(name) < 100:
                self.value(name, "load", lambda array=array: array)
        return self.finding

    def open(self, **options):
        return fastckpt.read(self.prefix, **options)

    def read_index(self, ckpt):
        names = self.attempt("names", lambda: list(ckpt))
        if names is not None:
            self.finding["names"] = [name[:100] for name in names[:50]]
        count = self.attempt("len", lambda: len(ckpt))
        if None not in (names, count) and len(names) != count:
            self.finding["unexpected"].append(f"{len(names)} names, but len() is {count}")
        self.attempt("infos", lambda: [info.shape for info in ckpt.infos()])
        self.attempt("contains", lambda: "no such tensor" in ckpt)

    def read_tensors(self, ckpt, backend):
        listed = [name for name in self.finding["names"] or [] if len(name) < 100]
        for name in dict.fromkeys(self.names + listed[:10]):
            info = self.attempt(f"info {name}", lambda name=name: ckpt.info(name))
            if info is not None:
                self.finding["infos"][name] = [info.tf_dtype, list(info.shape)]
            for copy in (None, True):
                what = f"{backend} copy={copy}"
                self.value(name, what, lambda n=name, c=copy: ckpt.get_tensor(n, copy=c))
            self.value(name, f"{backend} slice", lambda name=name: ckpt.get_slice(name)[...])
            self.attempt(f"row {name}", lambda name=name: self.first_row(ckpt.get_slice(name)))

    def first_row(self, handle):
        return handle[0:1] if handle.ndim else handle[()]

    def count_problems(self, ckpt):
        try:
            problems = list(ckpt.problems())
        except Exception as error:
            self.finding["unexpected"].append(f"problems() raised {error!r}")
            return
        for problem in problems:
            if not isinstance(problem, (fastckpt.CheckpointError, OSError)):
                self.finding["unexpected"].append(f"problems() gave {problem!r}")
        verified = self.attempt("verify", lambda: ckpt.verify() or True)
        if bool(verified) == bool(problems):
            self.finding["unexpected"].append("verify() and problems() disagree")
        self.finding["opened"] = True
        self.finding["problems"] = len(problems)

    def value(self, name, way, action):
        array = self.attempt(f"{way} {name}", action)
        if array is not None:
            array = np.asarray(array)
            described = [array.dtype.name, list(array.shape), values_digest(array)]
            self.finding["values"].setdefault(name, {})[way] = described

    def attempt(self, what, action, **options):
        try:
            return action(**options)
        except fastckpt.CheckpointError as error:
            self.finding["errors"][what] = f"{type(error).__name__}: {error}"
            if not (error.path and error.what and str(error).startswith(str(error.path))):
                self.finding["unexpected"].append(f"{what}: no path or what: {error!r}")
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOENT:
                self.finding["missing_files"].append(f"{what}: {error}")
            else:
                self.finding["unexpected"].append(f"{what}: {type(error).__name__}: {error}")
        return None


def probe(requests):
    """Have [(prefix, names to ask for)] read in a process of its own: one finding for each."""
    lines = [json.dumps({"prefix": str(prefix), "names": names}) for prefix, names in requests]
    done = subprocess.run(
        [sys.executable, __file__],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        env=dict(os.environ, MALLOC_ARENA_MAX="2", PYTHONIOENCODING="utf-8"),
        timeout=60 + SECONDS * len(lines),
    )
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(findings) != len(lines):
        at = requests[len(findings)][0] if len(findings) < len(lines) else "the end"
        pytest.fail(f"exit code {done.returncode} at {at}\n{done.stderr[-4000:]}")
    return findings


# ---- the broken files of the corpus


def load_broken():
    documents = {}
    for path in sorted(GOLDEN.glob("corrupt/*/expected.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] == "V2":
            documents[path.parent.name] = document
    return documents


BROKEN = load_broken()
FILE_IS_MISSING = {"shard_missing", "num_shards_too_large"}
DTYPES = {1: "float32", 2: "float64", 7: "string", 9: "int64", 19: "float16"}

assert len(BROKEN) >= 40, "the broken files of the golden corpus are not there"

every_fault = pytest.mark.parametrize("fault", BROKEN)


INTACT = intact_tensors()


@pytest.fixture(scope="module")
def findings():
    requests = [(GOLDEN / "corrupt" / fault / "ckpt", list(INTACT)) for fault in BROKEN]
    return dict(zip(BROKEN, probe(requests), strict=True))


@every_fault
def test_fault_raises_nothing_but_our_errors(fault, findings):
    finding = findings[fault]

    assert finding["unexpected"] == []
    assert fault in FILE_IS_MISSING or finding["missing_files"] == []


@every_fault
def test_fault_is_found(fault, findings):
    finding = findings[fault]

    assert finding["problems"] or not finding["opened"]


@every_fault
def test_tensor_beside_a_fault_is_right_or_an_error(fault, findings):
    allowed = {}
    for record in BROKEN[fault]["tensorflow"]["tensors"]:
        by_tensorflow = [record.get(how, {}).get("ok") for how in ("get_tensor", "restore")]
        good = {tensor["sha256"] for tensor in by_tensorflow if tensor}
        allowed[record["key"]] = good | {values_digest(INTACT[record["key"]])}

    for name, ways in findings[fault]["values"].items():
        for way, (dtype, shape, values) in ways.items():
            assert name in INTACT
            assert (dtype, shape) == (INTACT[name].dtype.name, list(INTACT[name].shape)), way
            is_unverified = fault == "payload_flip" and way in {
                "mmap copy=None", "pread copy=None", "mmap slice", "pread slice",
            }  # fmt: skip
            assert is_unverified or values in allowed[name], f"{name} through {way}"


@every_fault
def test_index_beside_a_fault_is_right_or_an_error(fault, findings):
    listed = BROKEN[fault]["tensorflow"]["list"].get("ok", [])
    by_tensorflow = {record["key"]: [DTYPES.get(dtype), shape] for record, dtype, shape in listed}

    assert findings[fault]["names"] in (None, list(INTACT))
    for name, info in findings[fault]["infos"].items():
        array = INTACT[name]
        dtype = "string" if array.dtype == object else array.dtype.name
        assert info in ([dtype, list(array.shape)], by_tensorflow.get(name))


@every_fault
def test_fault_does_not_take_memory(fault, findings):
    assert findings[fault]["peak"] < SPARE


@pytest.mark.parametrize(
    ("fault", "name", "error"),
    [
        ("payload_flip", "a/float", fastckpt.ChecksumError),
        ("string_payload_flip", "b/str", fastckpt.ChecksumError),
        ("index_block_flip", "a/float", fastckpt.ChecksumError),
        ("footer_magic", "a/float", fastckpt.FormatError),
        ("index_truncated", "a/float", fastckpt.FormatError),
        ("data_truncated", "e/half", fastckpt.FormatError),
        ("entry_size_mismatch", "c/int64", fastckpt.FormatError),
        ("string_lengths_overflow", "b/str", fastckpt.FormatError),
        ("shape_overflow", "a/float", fastckpt.FormatError),
        ("shape_negative", "a/float", fastckpt.FormatError),
        ("header_min_consumer", "a/float", fastckpt.UnsupportedError),
        ("entry_dtype_unknown", "c/int64", fastckpt.UnsupportedError),
        ("block_unknown_compression", "a/float", fastckpt.UnsupportedError),
        ("shard_missing", "a/float", FileNotFoundError),
    ],
)
def test_error_class_says_what_kind_of_fault_it_is(fault, name, error):
    with pytest.raises(error, match=r"ckpt(\.index|\.data-00000-of-00001)?(:|'|$)"):
        fastckpt.read(GOLDEN / "corrupt" / fault / "ckpt").get_tensor(name, copy=True)


# ---- every cut and every flip


@pytest.fixture(scope="module")
def intact():
    """The bytes of a small checkpoint with strings and slices, and what reading it gives."""
    prefix = GOLDEN / "same_data_tf2" / "model.ckpt"
    with fastckpt.read(prefix) as ckpt:
        values = {name: describe(ckpt.get_tensor(name, copy=True)) for name in ckpt}
        infos = list(ckpt.infos())
    index = Path(f"{prefix}.index").read_bytes()
    data = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    return index, data, values, infos


def describe(array):
    return array.dtype, array.shape, values_digest(array)


def deviations(prefix, values, infos):
    """The ways of reading that neither raise `CheckpointError` nor give what is right."""
    wrong = []

    def compare(what, action, right):
        with contextlib.suppress(fastckpt.CheckpointError):
            if action() != right:
                wrong.append(what)

    compare(
        "load",
        lambda: {k: describe(v) for k, v in fastckpt.load(prefix, threads=1).items()},
        values,
    )
    for options in ({"backend": "mmap"}, {"backend": "pread"}, {"verify": True}):
        with (
            contextlib.suppress(fastckpt.CheckpointError),
            fastckpt.read(prefix, **options) as ckpt,
        ):
            compare(f"names {options}", lambda ckpt=ckpt: list(ckpt), list(values))
            compare(f"infos {options}", lambda ckpt=ckpt: list(ckpt.infos()), infos)
            for name, right in values.items():
                compare(
                    f"{name} {options}",
                    lambda ckpt=ckpt, name=name: describe(ckpt.get_tensor(name, copy=True)),
                    right,
                )
    return wrong


def write_pair(folder, name, index, data):
    """A checkpoint under a name that was not used before: no file changes under a map."""
    (folder / f"{name}.index").write_bytes(index)
    (folder / f"{name}.data-00000-of-00001").write_bytes(data)
    return folder / name


def test_index_cut_at_every_length_is_an_error(tmp_path, intact):
    index, data, _, _ = intact

    for length in range(len(index)):
        prefix = write_pair(tmp_path, str(length), index[:length], data)
        with pytest.raises(fastckpt.FormatError, match=r"\.index"):
            fastckpt.load(prefix)


@pytest.mark.parametrize("bits", [0xFF, 0x01, 0x80])
def test_index_with_any_byte_flipped_is_an_error_or_right(tmp_path, intact, bits):
    index, data, values, infos = intact

    for offset in range(len(index)):
        prefix = write_pair(tmp_path, str(offset), flip(index, offset, bits), data)
        assert deviations(prefix, values, infos) == [], f"byte {offset}"


@pytest.mark.parametrize("bits", [0xFF, 0x01, 0x80])
def test_data_with_any_byte_flipped_is_found(tmp_path, intact, bits):
    index, data, values, infos = intact

    for offset in range(len(data)):
        prefix = write_pair(tmp_path, str(offset), index, flip(data, offset, bits))
        assert deviations(prefix, values, infos) == [], f"byte {offset}"
        with pytest.raises(fastckpt.FormatError, match=r"\.data-00000-of-00001"):
            fastckpt.load(prefix)
        with fastckpt.read(prefix) as ckpt:
            assert len(list(ckpt.problems())) == 1


def test_data_cut_at_every_length_spares_what_is_before_the_cut(tmp_path, intact):
    index, data, values, infos = intact
    ends = {info.name: info.offset + info.nbytes for info in infos if not info.slices}

    for length in range(len(data)):
        prefix = write_pair(tmp_path, str(length), index, data[:length])
        assert deviations(prefix, values, infos) == [], f"{length} bytes"
        for backend in ("mmap", "pread"):
            with fastckpt.read(prefix, backend=backend) as ckpt:
                for name, end in ends.items():
                    if end <= length:
                        assert describe(ckpt.get_tensor(name)) == values[name]
                    else:
                        with pytest.raises(fastckpt.FormatError, match=r"\.data-00000-of-00001"):
                            ckpt.get_tensor(name)
                assert list(ckpt.problems()) != []


def flip(data, offset, bits):
    return data[:offset] + bytes([data[offset] ^ bits]) + data[offset + 1 :]


# ---- random damage, with checksums that are right

EXTREMES = [0, 1, 2, 3, 7, 8, 21, 77, 127, 128, 255, 1 << 16, (1 << 31) - 1, 1 << 31]
EXTREMES += [(1 << 32) - 1, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
MUTANTS = 900


class Mutator:
    """Damages a bundle at random, and makes right every checksum above the damage."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        prefixes = [
            "same_data_tf2/model.ckpt",
            "crafted_big_endian/ckpt",
            "tf1_slices_2d/model.ckpt",
        ]
        self.bases = [bb.Bundle(str(GOLDEN / prefix)) for prefix in prefixes]

    def write(self, prefix):
        """Write a damaged bundle, and return the names of its tensors before the damage."""
        bundle = self.random.choice(self.bases).copy()
        names = [key.decode() for key in bundle.entries if not key.startswith(b"\0")]
        ways = [
            self.entry_field, self.entry_field, self.entry_shape, self.entry_slices,
            self.entry_bytes, self.header, self.block, self.block, self.compressed_block,
            self.order, self.keys, self.footer, self.strings, self.layout,
        ]  # fmt: skip
        self.random.choice(ways)(bundle, str(prefix))
        return names

    def number(self):
        near = self.random.choice((-1, 0, 0, 1))
        return (self.random.choice(EXTREMES) + near) % (1 << 64)

    def mutate(self, data):
        data = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            at = self.random.randrange(len(data) + 1)
            size = self.random.choice((1, 1, 2, 4, 9))
            how = self.random.randrange(5)
            if how == 0 and at < len(data):
                data[at] ^= self.random.choice((0x01, 0x80, 0xFF, self.random.randrange(256)))
            elif how == 1:
                data[at:at] = self.random.randbytes(size)
            elif how == 2:
                del data[at : at + size]
            elif how == 3:
                data[at : at + size] = bb.varint(self.number())
            else:
                data[at:at] = data[max(0, at - 20) : at]
        return bytes(data)

    def any_key(self, bundle):
        return self.random.choice(sorted(bundle.entries))

    def entry_field(self, bundle, prefix):
        field = self.random.choice((1, 3, 4, 5, 6))
        number = self.number()
        if field == 6:
            bundle.set(self.any_key(bundle), field, 5, number & 0xFFFFFFFF)
        else:
            bundle.set(self.any_key(bundle), field, 0, number)
        bundle.save(prefix)

    def entry_shape(self, bundle, prefix):
        rank = self.random.choice((0, 1, 2, 3, 33, 65, 255, 300))
        dims = [self.random.choice((0, 1, 1, 2, self.number())) for _ in range(rank)]
        shape = bb.get(bb.parse_proto(bb.entry(1, dims)), 2)
        bundle.set(self.any_key(bundle), 2, 2, shape)
        bundle.save(prefix)

    def entry_slices(self, bundle, prefix):
        key = self.any_key(bundle)
        for _ in range(self.random.choice((1, 2, 10))):
            extents = []
            for _ in range(self.random.choice((0, 1, 2, 3))):
                fields = [[1, 0, self.number()], [2, 0, self.number()]]
                kept = [field for field in fields if self.random.random() < 0.8]
                extents.append([1, 2, bb.build_proto(kept)])
            bundle.entries[key].append([7, 2, bb.build_proto(extents)])
        bundle.save(prefix)

    def entry_bytes(self, bundle, prefix):
        items = bundle.items()
        at = self.random.randrange(len(items))
        items[at] = (items[at][0], self.mutate(items[at][1]))
        bundle.save(prefix, items)

    def header(self, bundle, prefix):
        field = self.random.choice((1, 2, 3))
        version = bb.build_proto([[self.random.choice((1, 2, 3)), 0, self.number()]])
        value = version if field == 3 else self.number()
        bundle.header = bb.put(bundle.header, field, 2 if field == 3 else 0, value)
        bundle.save(prefix)

    def block(self, bundle, prefix, snappy=False):
        target = self.random.choice(("data", "data", "index", "meta"))
        bundle.save(
            prefix,
            block_size=self.random.choice((1, 100, 262144)),
            snappy=snappy,
            cook=lambda role, n, contents, kind: (
                self.mutate(contents) if role == target else contents,
                kind,
            ),
        )

    def compressed_block(self, bundle, prefix):
        self.block(bundle, prefix, snappy=True)

    def order(self, bundle, prefix):
        items = bundle.items()
        first, second = (self.random.randrange(len(items)) for _ in range(2))
        items[first], items[second] = items[second], items[first]
        bundle.save(prefix, items, block_size=self.random.choice((1, 262144)))

    def keys(self, bundle, prefix):
        items = bundle.items()
        at = self.random.randrange(len(items))
        items[at] = (self.mutate(items[at][0]), items[at][1])
        if self.random.random() < 0.3:
            items.insert(at, items[at])
        bundle.save(prefix, items)

    def footer(self, bundle, prefix):
        bundle.save(prefix)
        table = bb.read(prefix + ".index")
        size = len(table)
        handles = [self.random.choice((self.number(), size, size - 48, 0)) for _ in range(4)]
        head = b"".join(map(bb.varint, handles)) + bytes(40)
        bb.write(prefix + ".index", table[:-48] + head[:40] + table[-8:])

    def strings(self, bundle, prefix):
        keys = [key for key, entry in bundle.entries.items() if bb.get(entry, 1) == 7]
        if not keys:
            return self.layout(bundle, prefix)
        lengths = [self.random.choice((0, 1, 5, self.number())) for _ in range(3)]
        payload, crc = bb.string_payload([b"one", b"", b"three"], lengths=lengths)
        bundle.append_payload(keys[0], self.mutate(payload) if self.number() == 0 else payload, crc)
        bundle.save(prefix)

    def layout(self, bundle, prefix):
        """Not damage: a table of another layout."""
        bundle.save(
            prefix,
            block_size=self.random.choice((1, 64, 4096)),
            interval=self.random.choice((1, 2, 1000)),
            snappy=self.random.random() < 0.5,
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_random_damage_is_an_error_or_readable(tmp_path, seed):
    mutator = Mutator(seed)
    requests = []
    for number in range(MUTANTS):
        prefix = tmp_path / f"m{number}" / "ckpt"
        requests.append((prefix, mutator.write(prefix)))

    findings = probe(requests)

    # missing files are right: some headers ask for more shards than there are
    unexpected = [f"mutant {at}: {e}" for at, f in enumerate(findings) for e in f["unexpected"]]
    assert unexpected == []
    assert max(finding["peak"] for finding in findings) < SPARE
    readable = sum(1 for finding in findings if not finding["errors"])
    assert MUTANTS // 20 < readable < MUTANTS // 2
    shutil.rmtree(tmp_path)  # pytest would keep thousands of files


# ---- bombs


def header(num_shards=1):
    return (b"", bb.build_proto([[1, 0, num_shards], [3, 2, b"\x08\x01"]]))


def scalar_entry(offset=0):
    return bb.entry(1, [], offset=offset, size=4, crc=bb.masked_crc(bytes(4)))


def one_block_table(block, kind=0, handles=1, last_key=b"\xff" * 8):
    """A table around one data block that may be anything."""
    body = block + bb.trailer(block, kind)
    handle = bb.varint(0) + bb.varint(len(block))
    meta_at = len(body)
    body += bb.build_block([]) + bb.trailer(bb.build_block([]))
    index = bb.build_block([(last_key, handle)] * handles, 1)
    index_at = len(body)
    return body + index + bb.trailer(index) + bb.footer((meta_at, 8), (index_at, len(index)))


def keys_that_share_a_long_prefix():
    """20,000 keys of 64 KiB each, in 200 kB: 1.3 GB of names."""
    key = b"k" * 65536
    value = scalar_entry()
    block = bytearray(b"\0\0" + bb.varint(len(header()[1])) + header()[1])
    block += b"\0" + bb.varint(len(key)) + bb.varint(len(value)) + key + value
    for number in range(20000):
        tail = struct.pack(">I", number)
        shared = len(key) if number == 0 else len(key) + 4 - unequal(number)
        block += bb.varint(shared) + bb.varint(len(key) + 4 - shared) + bb.varint(len(value))
        block += tail[shared - len(key) :] + value
    block += struct.pack("<II", 0, 1)
    return one_block_table(bytes(block)), bytes(4)


def unequal(number):
    """How many of the last bytes of a big-endian count differ from the number before."""
    before, after = struct.pack(">I", number - 1), struct.pack(">I", number)
    return 4 - next(at for at in range(4) if before[at] != after[at])


def index_block_that_repeats_a_handle():
    """30,000 handles of one data block of 60 kB."""
    items = [header()] + [(b"%05d" % number, scalar_entry()) for number in range(2000)]
    return one_block_table(bb.build_block(items), handles=30000), bytes(4)


def more_strings_than_bytes():
    return table_of(bb.entry(7, [1 << 40], size=1 << 20, crc=1)), bytes(1 << 20)


def more_strings_than_64_bits_count():
    return table_of(bb.entry(7, [1 << 61, 8], size=4, crc=1)), bytes(4)


def string_of_exabytes():
    payload, crc = bb.string_payload([b"x"], lengths=[1 << 60])
    return table_of(bb.entry(7, [], size=len(payload), crc=crc)), payload


def tensor_larger_than_the_file():
    return table_of(bb.entry(4, [1 << 40], size=1 << 40, crc=1)), bytes(100)


def tensor_of_a_negative_size():
    return table_of(bb.entry(4, [1 << 63], size=1 << 63, crc=1)), bytes(100)


def tensor_that_ends_beyond_64_bits():
    entry = bb.entry(4, [100], offset=(1 << 63) - 50, size=100, crc=1)
    return table_of(entry), bytes(100)


def empty_tensor_with_huge_dims():
    return table_of(bb.entry(4, [0, 1 << 40, 1 << 40], crc=bb.mask(0))), b""


def tensor_of_rank_100000():
    return table_of(bb.entry(4, [1] * 100000, size=1, crc=bb.masked_crc(b"\0"))), b"\0"


def slice_proto(*extents):
    fields = []
    for start, length in extents:
        extent = ([[1, 0, start]] if start else []) + [[2, 0, length]]
        fields.append([1, 2, bb.build_proto(extent)])
    return bb.build_proto(fields)


def sliced_table(dims, boxes, entry):
    """A uint8 tensor `v` of slices that all have the same entry."""
    whole = bb.entry(4, dims, slices=[slice_proto(*box) for box in boxes])
    parts = {slice_key(b"v", box): entry for box in boxes}
    return bb.build_table([header(), *sorted(parts.items()), (b"v", whole)])


def byte_entry(rank=1):
    return bb.entry(4, [1] * rank, size=1, crc=bb.masked_crc(b"\0"))


def huge_tensor_of_one_small_slice():
    return sliced_table([1 << 40], [[(0, 1)]], byte_entry()), b"\0"


def huge_tensor_of_huge_slices():
    half = 1 << 39
    entry = bb.entry(4, [half], size=half, crc=1)
    return sliced_table([2 * half], [[(0, half)], [(half, half)]], entry), b"\0"


def huge_tensor_of_missing_slices():
    halves = [slice_proto((0, 1 << 39)), slice_proto((1 << 39, 1 << 39))]
    return table_of(bb.entry(4, [1 << 40], slices=halves)), b"\0"


def same_slice_20000_times():
    return sliced_table([10], [[(0, 1)]] * 20000, byte_entry()), b"\0"


def slices_along_a_diagonal():
    """In three dimensions: the grid that their borders draw has 8e9 cells."""
    boxes = [[(n, 1)] * 3 for n in range(2000)]
    return sliced_table([2000] * 3, boxes, byte_entry(rank=3)), b"\0"


def nested_slices():
    """Each overlaps all the others."""
    boxes = [(n, 20000 - 2 * n) for n in range(5000)]
    parts = {
        slice_key(b"v", [box]): bb.entry(4, [box[1]], offset=box[0], size=box[1], crc=1)
        for box in boxes
    }
    whole = bb.entry(4, [20000], slices=[slice_proto(box) for box in boxes])
    return bb.build_table([header(), *sorted(parts.items()), (b"v", whole)]), bytes(20000)


def slices_that_share_their_bytes():
    """2,000 slices of the same 64 KiB: 128 MiB in a file of 200 kB."""
    size = 1 << 16
    boxes = [[(n * size, size)] for n in range(2000)]
    entry = bb.entry(4, [size], size=size, crc=bb.masked_crc(bytes(size)))
    return sliced_table([2000 * size], boxes, entry), bytes(size)


def slices_of_a_long_row():
    """Not a bomb, but many: all is there."""
    boxes = [[(n, 1)] for n in range(20000)]
    return sliced_table([20000], boxes, byte_entry()), b"\0"


def snappy_that_says_gigabytes():
    return one_block_table(bb.varint((1 << 32) - 1) + b"\0x", kind=1), b""


def snappy_that_grows():
    """The densest that Snappy can be: copies of 64 bytes that take three each."""
    size = 1 + 64 * 20000
    return one_block_table(bb.varint(size) + b"\0\0" + b"\xfe\1\0" * 20000, kind=1), b""


def shards_without_number():
    items = [header((1 << 31) - 1), (b"v", scalar_entry())]
    return bb.build_table(items), bytes(4)


def restarts_without_number():
    block = bb.build_block([header(), (b"v", scalar_entry())])
    return one_block_table(block[:-4] + struct.pack("<I", 0x40000001)), bytes(4)


def value_of_gigabytes():
    block = b"\0\1" + bb.varint((1 << 32) - 1) + b"v" + struct.pack("<II", 0, 1)
    return one_block_table(block), b""


def bad_consumers_without_end():
    version = bb.build_proto([[3, 2, b"\2" * 100000]])
    items = [(b"", bb.build_proto([[1, 0, 1], [3, 2, version]])), (b"v", scalar_entry())]
    return bb.build_table(items), bytes(4)


def table_of(entry):
    return bb.build_table([header(), (b"v", entry)])


BOMBS = [
    keys_that_share_a_long_prefix,
    index_block_that_repeats_a_handle,
    more_strings_than_bytes,
    more_strings_than_64_bits_count,
    string_of_exabytes,
    tensor_larger_than_the_file,
    tensor_of_a_negative_size,
    tensor_that_ends_beyond_64_bits,
    empty_tensor_with_huge_dims,
    tensor_of_rank_100000,
    huge_tensor_of_one_small_slice,
    huge_tensor_of_huge_slices,
    huge_tensor_of_missing_slices,
    same_slice_20000_times,
    slices_along_a_diagonal,
    nested_slices,
    slices_that_share_their_bytes,
    slices_of_a_long_row,
    snappy_that_says_gigabytes,
    snappy_that_grows,
    shards_without_number,
    restarts_without_number,
    value_of_gigabytes,
    bad_consumers_without_end,
]
HARMLESS = {  # readable, or an error
    bad_consumers_without_end,
    empty_tensor_with_huge_dims,
    slices_of_a_long_row,
}


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_bomb_takes_neither_memory_nor_time(bomb, tmp_path):
    index, data = bomb()
    prefix = write_pair(tmp_path, "ckpt", index, data)

    (finding,) = probe([(prefix, ["v"])])

    assert finding["unexpected"] == []
    files = len(index) + len(data)
    assert finding["peak"] < SPARE + 16 * files
    assert bomb in HARMLESS or finding["errors"] or finding["missing_files"]


if __name__ == "__main__":
    probe_all()
