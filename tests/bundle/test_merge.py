"""Merging: one checkpoint out of several, the data files shared."""

import errno
import os
import shutil
import sys

import bundle_bytes as bb
import numpy as np
import pytest
from fresh import run
from slice_keys import slice_key

import fastckpt

A = {"a": np.arange(4), "s": np.array(b"text")}
B = {"b": np.ones((2, 3), np.float32)}


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def shard_names(base, count):
    return [f"{base}.data-{i:05d}-of-{count:05d}" for i in range(count)]


def file_names(base, count):
    return [*shard_names(base, count), f"{base}.index"]


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        checkpoint.verify()
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def assert_same(found, expected):
    assert list(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.fixture
def sources(tmp_path):
    """The prefixes of two checkpoints, in a folder of their own."""
    folder = tmp_path / "sources"
    fastckpt.write(folder / "a", A, sync=False)
    fastckpt.write(folder / "b", B, num_shards=2, sync=False)
    return [folder / "a", folder / "b"]


@pytest.fixture(params=["nothing", "a checkpoint"])
def target(request, tmp_path):
    """A prefix in a folder of its own, which has nothing, or a checkpoint."""
    (tmp_path / "target").mkdir()
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "target" / "m", {"old": 1}, num_shards=2, sync=False)
    return tmp_path / "target" / "m"


# ---- refused


def test_tensor_of_two_sources_is_refused_by_name_and_changes_nothing(sources, target):
    fastckpt.write(sources[1], {"a": 1, "b": 2}, sync=False)
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="tensor 'a'.*/b"):
        fastckpt.merge(sources, target)

    assert snapshot(target.parent) == before


def test_source_twice_is_refused(sources, target):
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="tensor '"):
        fastckpt.merge([sources[0], sources[0]], target)

    assert snapshot(target.parent) == before


def add_slices(prefix, parts, full=6, dtype="f4", extra=()):
    """A checkpoint with parts of a partitioned tensor, which need not cover it."""
    bundle = bb.Bundle.__new__(bb.Bundle)
    bundle.header = [[1, 0, 1], [3, 2, b"\x08\x01"]]
    bundle.shards = [bytearray()]
    bundle.entries = {}
    slices = []
    number = {"f4": 1, "i4": 3}[dtype]

    for start, length in parts:
        data = np.arange(start, start + length).astype(dtype).tobytes()
        extent = bb.build_proto([f for f in ([1, 0, start], [2, 0, length]) if f[2] or f[0] == 2])
        slices.append(bb.build_proto([[1, 2, extent]]))
        key = slice_key(b"v", ((start, length),))
        entry = bb.entry(number, [length], offset=len(bundle.shards[0]), size=len(data),
                         crc=bb.masked_crc(data))  # fmt: skip
        bundle.entries[key] = bb.parse_proto(entry)
        bundle.shards[0] += data
    bundle.entries[b"v"] = bb.parse_proto(bb.entry(number, [full], slices=slices))
    for name in extra:
        bundle.entries[name] = bb.parse_proto(bb.entry(1, [0], crc=bb.mask(0)))
    bundle.save(str(prefix))


@pytest.mark.parametrize("other", [{"full": 7}, {"dtype": "i4"}])
def test_slices_of_different_tensors_under_one_name_are_refused(tmp_path, target, other):
    add_slices(tmp_path / "one", [(0, 2)])
    add_slices(tmp_path / "two", [(2, 4)], **other)
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="tensor 'v'"):
        fastckpt.merge([tmp_path / "one", tmp_path / "two"], target)

    assert snapshot(target.parent) == before


def test_same_slice_of_two_sources_is_refused(tmp_path, target):
    add_slices(tmp_path / "one", [(0, 2)])
    add_slices(tmp_path / "two", [(0, 2)])
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="tensor '"):
        fastckpt.merge([tmp_path / "one", tmp_path / "two"], target)

    assert snapshot(target.parent) == before


def test_partitioned_beside_plain_of_one_name_is_refused(tmp_path, target):
    add_slices(tmp_path / "one", [(0, 2)])
    fastckpt.write(tmp_path / "two", {"v": np.zeros(6, "f4")}, sync=False)

    for sources in (["one", "two"], ["two", "one"]):
        with pytest.raises(ValueError, match="tensor 'v'"):
            fastckpt.merge([tmp_path / source for source in sources], target)


def test_sources_of_different_byte_order_are_refused(golden, sources, target):
    before = snapshot(target.parent)

    with pytest.raises(ValueError, match="byte order"):
        fastckpt.merge([sources[0], golden / "crafted_big_endian" / "ckpt"], target)

    assert snapshot(target.parent) == before


def test_missing_source_is_file_not_found_and_changes_nothing(sources, target):
    before = snapshot(target.parent)

    with pytest.raises(FileNotFoundError, match="none"):
        fastckpt.merge([*sources, sources[0].with_name("none")], target)

    assert snapshot(target.parent) == before


def test_missing_data_file_is_file_not_found_and_changes_nothing(sources, target):
    os.unlink(f"{sources[1]}.data-00000-of-00002")
    before = snapshot(target.parent)

    with pytest.raises(FileNotFoundError, match="data-00000-of-00002"):
        fastckpt.merge(sources, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("offset", [0, -1, -60])
def test_damaged_source_is_a_checkpoint_error_and_changes_nothing(sources, target, offset):
    index = sources[1].with_suffix(".index")
    data = bytearray(index.read_bytes())
    data[offset] ^= 0xFF
    index.write_bytes(data)
    before = snapshot(target.parent)

    with pytest.raises(fastckpt.CheckpointError, match="b.index"):
        fastckpt.merge(sources, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("prefixes", ["prefix", b"prefix", None, 5, [None], [5]])
def test_sources_that_are_no_list_of_paths_are_a_type_error(target, prefixes):
    before = snapshot(target.parent)

    with pytest.raises(TypeError):
        fastckpt.merge(prefixes, target)

    assert snapshot(target.parent) == before


@pytest.mark.parametrize("name", ["fsync", "link", "replace", "write"])
def test_error_of_the_system_leaves_what_was_there(sources, target, monkeypatch, name):
    def refuse(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = snapshot(target.parent)
    monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(shutil, "copyfileobj", refuse)

    with pytest.raises(OSError, match="No space left"):
        fastckpt.merge(sources, target)

    assert snapshot(target.parent) == before


# ---- merged


def test_merged_checkpoint_has_the_tensors_of_all(sources, target):
    fastckpt.merge(sources, target)

    assert_same(read_all(target), A | B)
    # the second shard of b has no tensors, and no number
    assert list_names(target.parent) == file_names("m", 2)


def test_sources_are_unchanged(sources, target):
    before = snapshot(sources[0].parent)

    fastckpt.merge(sources, target)

    assert snapshot(sources[0].parent) == before
    assert_same(read_all(sources[0]), A)


def test_data_files_are_shared(sources, target):
    fastckpt.merge(sources, target)

    shards = [f"{sources[0]}.data-00000-of-00001", f"{sources[1]}.data-00000-of-00002"]
    for source, name in zip(shards, shard_names("m", 2), strict=True):
        assert os.path.samefile(source, target.parent / name)


def test_data_files_are_copied_where_there_are_no_links(sources, target, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)

    fastckpt.merge(sources, target)

    assert_same(read_all(target), A | B)
    assert os.stat(target.parent / "m.data-00000-of-00002").st_nlink == 1


def test_saving_over_the_merged_one_leaves_the_sources(sources, target):
    fastckpt.merge(sources, target)

    fastckpt.write(target, {"new": 1}, num_shards=2, sync=False)
    fastckpt.write(sources[0], {"new": 2}, sync=False)

    assert_same(read_all(sources[1]), B)
    assert_same(read_all(target), {"new": 1})


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
@pytest.mark.parametrize("depth", ["target", "target/deeper"])
def test_data_files_behind_symbolic_links_are_shared(sources, tmp_path, depth):
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    for path in sources[0].parent.iterdir():
        (snapshots / path.name).symlink_to(os.path.join("..", "sources", path.name))
    (tmp_path / depth).mkdir(parents=True)

    fastckpt.merge([snapshots / "a", snapshots / "b"], tmp_path / depth / "m")

    assert_same(read_all(tmp_path / depth / "m"), A | B)
    shard = tmp_path / depth / "m.data-00000-of-00002"
    assert not shard.is_symlink()
    assert os.path.samefile(shard, f"{sources[0]}.data-00000-of-00001")


def test_slices_of_one_tensor_come_together(tmp_path, target):
    add_slices(tmp_path / "one", [(2, 1), (0, 2)], extra=[b"x"])
    add_slices(tmp_path / "two", [(3, 3)], extra=[b"a"])

    fastckpt.merge([tmp_path / "one", tmp_path / "two"], target)

    found = read_all(target)
    assert list(found) == ["a", "v", "x"]
    assert found["v"].tolist() == [0, 1, 2, 3, 4, 5]
    with fastckpt.read(target) as checkpoint:
        assert checkpoint.info("v").slices == ((slice(2, 3),), (slice(0, 2),), (slice(3, 6),))


def test_one_source_makes_a_copy_that_shares(sources, target):
    fastckpt.merge([sources[0]], target)

    assert_same(read_all(target), A)
    assert os.path.samefile(
        f"{sources[0]}.data-00000-of-00001", target.parent / "m.data-00000-of-00001"
    )


def test_sources_without_tensors_make_one_without_tensors(tmp_path, target):
    for name in ("one", "two"):
        fastckpt.write(tmp_path / name, {}, sync=False)

    fastckpt.merge([tmp_path / "one", tmp_path / "two"], target)

    assert read_all(target) == {}
    assert list_names(target.parent) == file_names("m", 1)


def test_strings_variants_and_names_of_any_bytes_are_merged(golden, target):
    cases = ["tf1_strings/model.ckpt", "tf2_variant/ckpt"]
    expected = {}
    for case in cases:
        with fastckpt.read(golden / case) as source:
            expected |= {info.name: info for info in source.infos()}

    fastckpt.merge([golden / case for case in cases], target)

    with fastckpt.read(target) as checkpoint:
        checkpoint.verify()
        assert list(checkpoint) == sorted(expected, key=os.fsencode)
        for info in checkpoint.infos():
            other = expected[info.name]
            assert (info.tf_dtype, info.shape) == (other.tf_dtype, other.shape)
            assert (info.offset, info.crc32c) == (other.offset, other.crc32c)


def test_big_endian_sources_stay_big_endian(golden, target):
    fastckpt.merge([golden / "crafted_big_endian" / "ckpt"], target)

    with (
        fastckpt.read(target) as checkpoint,
        fastckpt.read(golden / "crafted_big_endian" / "ckpt") as source,
    ):
        assert checkpoint.byteorder == "big"
        checkpoint.verify()
        for name in source:
            np.testing.assert_array_equal(checkpoint[name], source[name])


def test_merging_again_replaces_what_was_merged(sources, target):
    for _ in range(3):
        fastckpt.merge(sources, target)
    fastckpt.merge(sources[::-1], target)

    assert_same(read_all(target), A | B)
    assert list_names(target.parent) == file_names("m", 2)


@pytest.mark.parametrize("place", [0, 1])
def test_destination_may_be_one_of_the_sources(sources, place):
    fastckpt.merge(sources, sources[place])

    other = sources[1 - place]
    assert_same(read_all(sources[place]), A | B)
    assert_same(read_all(other), B if place == 0 else A)
    expected = file_names(sources[place].name, 2) + file_names(other.name, 2 - place)
    if place == 1:
        expected = file_names("b", 2) + file_names("a", 1)
    assert list_names(other.parent) == sorted(expected)


def test_destination_may_be_the_only_source(sources):
    before = snapshot(sources[0].parent)

    fastckpt.merge([sources[0]], sources[0])

    assert snapshot(sources[0].parent) == before


def test_missing_folder_of_the_destination_is_made(sources, tmp_path):
    fastckpt.merge(sources, tmp_path / "new" / "m")

    assert_same(read_all(tmp_path / "new" / "m"), A | B)


@pytest.mark.parametrize("convert", [str, os.fsencode, lambda path: path])
def test_paths_of_any_type_are_taken(sources, target, convert):
    fastckpt.merge([convert(source) for source in sources], convert(target))

    assert_same(read_all(target), A | B)


def test_sources_may_be_any_iterable(sources, target):
    fastckpt.merge(tuple(sources), target)
    fastckpt.merge((source for source in sources), target)

    assert_same(read_all(target), A | B)


KILLED = """
    import os, signal, sys
    import fastckpt

    base = sys.argv[1]
    def paths(step):
        return [os.path.join(base, str(step), name) for name in ("a", "b", "m")]

    def die_at(step):
        left = [step]
        os.fsync = lambda fd: None  # only a power loss would show what it does
        def wrap(function):
            def wrapped(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **options)
            return wrapped
        for name in ("open", "write", "fsync", "replace", "unlink", "link", "close"):
            setattr(os, name, wrap(getattr(os, name)))

    outcomes = []
    for step in range(1000):
        a, b, m = paths(step)
        for path, name in ((a, "a"), (b, "b"), (m, "old")):
            fastckpt.write(path, {name: 1}, num_shards=1 + (path == m), sync=False)
        child = os.fork()
        if not child:
            try:
                die_at(step)
                fastckpt.merge([a, b], m)
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        try:
            names = list(fastckpt.load(m))
        except FileNotFoundError as error:
            assert "interrupted" in str(error), str(error)
            names = ["interrupted"]
        outcomes.append("+".join(names))
        assert list(fastckpt.load(a)) == ["a"] and list(fastckpt.load(b)) == ["b"]
        fastckpt.merge([a, b], m)
        assert list(fastckpt.load(m)) == ["a", "b"]
        assert len(os.listdir(os.path.dirname(m))) == 7, os.listdir(os.path.dirname(m))
        assert os.WIFSIGNALED(status), "the merge failed by itself"
        if os.WTERMSIG(status) != signal.SIGKILL:
            break
    print(*dict.fromkeys(outcomes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_at_any_step_leaves_the_old_none_or_the_new(tmp_path):
    assert run(KILLED, tmp_path).split() == ["old", "a+b"]
