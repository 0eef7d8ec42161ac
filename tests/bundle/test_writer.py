"""Writing: what is refused, what an interrupted save leaves, and what arrives on disk."""

import os

import numpy as np
import pytest
from fresh import run
from writing import NEW, add_part, assert_same, file_names, linux, list_names, read_all

import fastckpt

# ---- files


def test_one_missing_folder_is_made(tmp_path):
    fastckpt.write(tmp_path / "new" / "m", NEW, sync=False)

    assert list_names(tmp_path / "new") == file_names("m", 1)


@pytest.mark.parametrize(
    "base", ["", "m-1000", "we[ird]*?", "ü 重み", ".hidden", "a.index", "a.b.c"]
)
def test_prefix_of_any_form_is_written_and_read(tmp_path, base):
    prefix = os.path.join(tmp_path, base)

    fastckpt.write(prefix, NEW, num_shards=2, sync=False)
    fastckpt.write(prefix, NEW, sync=False)

    assert sorted(os.listdir(tmp_path)) == file_names(base, 1)
    assert_same(read_all(prefix), NEW)


@pytest.mark.parametrize("convert", [str, os.fsencode, lambda path: path])
def test_path_of_any_type_is_taken(tmp_path, convert):
    fastckpt.write(convert(tmp_path / "m"), NEW, sync=False)

    assert_same(read_all(convert(tmp_path / "m")), NEW)


def test_checkpoint_without_tensors_is_written(tmp_path):
    fastckpt.write(tmp_path / "m", {}, sync=False)
    with fastckpt.Writer(tmp_path / "n", num_shards=2, sync=False):
        pass

    assert list_names(tmp_path) == [*file_names("m", 1), *file_names("n", 2)]
    assert read_all(tmp_path / "m") == read_all(tmp_path / "n") == {}


def test_data_is_in_call_order_and_names_are_in_key_order(tmp_path):
    names = ["b", "a", "c", "ü", "Z"]

    fastckpt.write(tmp_path / "m", {name: np.zeros(4) for name in names}, alignment=1, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == sorted(names, key=str.encode)
        assert [checkpoint.info(name).offset for name in names] == [0, 32, 64, 96, 128]


@pytest.mark.parametrize("num_shards", [1, 2, 4, 7])
def test_shards_are_balanced(tmp_path, num_shards):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5000, 200)

    fastckpt.write(
        tmp_path / "m",
        {f"t{i}": np.zeros(size, np.uint8) for i, size in enumerate(sizes)},
        num_shards=num_shards,
        alignment=1,
        sync=False,
    )

    shards = [os.path.getsize(tmp_path / name) for name in file_names("m", num_shards)[:-1]]
    assert sum(shards) == sizes.sum()
    assert max(shards) - min(shards) <= sizes.max()
    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert {info.shard for info in checkpoint.infos()} == set(range(num_shards))
        checkpoint.verify()


@pytest.mark.parametrize("alignment", [1, 2, 3, 16, 64, 4096])
@pytest.mark.parametrize("num_shards", [1, 2])
def test_every_tensor_is_aligned(tmp_path, alignment, num_shards):
    with fastckpt.Writer(
        tmp_path / "m", num_shards=num_shards, alignment=alignment, sync=False
    ) as writer:
        for i in range(5):
            writer.add(f"byte{i}", np.uint8(i))
            writer.add(f"string{i}", b"x" * (7 * i))
            writer.add(f"empty{i}", np.zeros((0, 3)))
            writer.add(f"double{i}", np.arange(i + 1.0))
            add_part(writer, 0, 3, name=f"part{i}")
            add_part(writer, 3, 1, name=f"part{i}")
            writer.add(f"large{i}", np.zeros(300_001, np.uint8))

    sizes = [os.path.getsize(tmp_path / name) for name in file_names("m", num_shards)[:-1]]
    assert all(size % alignment == 0 for size in sizes)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        checkpoint.verify()
        for info in checkpoint.infos():
            if info.slices:
                entries = [part.entry for part in checkpoint.stored.parts(info.name)]
                assert all(entry.offset % alignment == 0 for entry in entries)
                continue
            assert info.offset % alignment == 0, info
            if alignment == 64 and info.tf_dtype != "string":
                assert checkpoint[info.name].flags.aligned


def test_padding_is_zeros_and_not_part_of_the_tensor(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.full(3, 255, np.uint8), "b": b"x"}, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert len(data) == 128
    assert data[:3] == b"\xff" * 3
    assert data[3:64] == bytes(61)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert [info.nbytes for info in checkpoint.infos()] == [3, 6]


def test_no_byte_lies_between_packed_tensors(tmp_path):
    tensors = {"a": np.uint8(1), "b": np.arange(3.0), "c": np.uint8(2)}

    fastckpt.write(tmp_path / "m", tensors, alignment=1, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert data == b"\1" + np.arange(3.0).tobytes() + b"\2"


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_threads_do_not_change_the_files(tmp_path, threads):
    rng = np.random.default_rng(1)
    tensors = {f"t{i}": rng.random(150_000) for i in range(5)}
    fastckpt.write(tmp_path / "one", tensors, threads=1, sync=False)

    fastckpt.write(tmp_path / "two", tensors, threads=threads, sync=False)

    for suffix in (".index", ".data-00000-of-00001"):
        one, two = ((tmp_path / (base + suffix)).read_bytes() for base in ("one", "two"))
        assert one == two


def test_progress_rises_to_the_total(tmp_path):
    calls = []

    fastckpt.write(
        tmp_path / "m",
        {"a": np.zeros(1000), "b": np.zeros((2, 3), np.int8), "c": np.zeros((0, 2))},
        progress=lambda done, total: calls.append((done, total)),
        sync=False,
    )

    assert calls[-1] == (8006, 8006)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {8006}


def test_closing_twice_commits_once(tmp_path):
    writer = fastckpt.Writer(tmp_path / "m", sync=False)
    writer.add("a", 1)

    writer.close()
    before = os.stat(tmp_path / "m.index").st_mtime_ns
    writer.close()
    writer.abort()

    assert os.stat(tmp_path / "m.index").st_mtime_ns == before
    assert read_all(tmp_path / "m")["a"] == 1
    with pytest.raises(ValueError, match="closed"):
        writer.add("b", 1)


@linux
def test_streaming_takes_the_memory_of_one_tensor(tmp_path):
    code = """
        import os, sys
        import numpy as np
        import fastckpt

        def peak():
            with open("/proc/self/status") as status:
                return int(status.read().split("VmHWM:")[1].split()[0]) << 10

        size = 8 << 20
        fastckpt.write(sys.argv[1], {"warm": np.ones(size, np.uint8)}, sync=False)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = peak()
        with fastckpt.Writer(sys.argv[1], num_shards=2, sync=False) as writer:
            for i in range(40):
                writer.add(f"t{i}", np.full(size // 8, i, np.float64)[:: -1 if i % 2 else 1])
            for i in range(4):
                part = np.full((1, size // 4), i, np.float32)
                writer.add_slice("v", part, full_shape=(4, size // 4), start=(i, 0))
        print((peak() - before) / size)
    """

    tensors = float(run(code, tmp_path / "m"))

    assert tensors < 3
