"""`find_problems`: every problem of a checkpoint, in key order, and each once."""

import bundle_bytes as bb
import numpy as np
import pytest

import fastckpt
from fastckpt.bundle._index import StoredBundle
from fastckpt.bundle.names import index_path, shard_path
from fastckpt.bundle.verify import find_problems
from fastckpt.errors import ChecksumError, FormatError, UnsupportedError
from fastckpt.format._record import encode_entry


@pytest.fixture
def prefix(tmp_path):
    """A checkpoint of two data files, with a partitioned tensor and one of strings."""
    path = str(tmp_path / "m")
    with fastckpt.Writer(path, num_shards=2, sync=False) as writer:
        writer.add("a", np.arange(100))
        writer.add("s", ["x", "yy"])
        for i in range(2):
            writer.add_slice("p", np.full((1, 40), i), full_shape=(2, 40), start=(i, None))
    return path


def problems_of(prefix, **options):
    return list(find_problems(StoredBundle(prefix), **options))


def flip_first_byte(stored, name):
    """Change the first byte of each part of a tensor."""
    for part in stored.parts(name):
        with open(stored.source(part.entry.shard_id, "").path, "r+b") as file:
            file.seek(part.entry.offset)
            byte = file.read(1)[0]
            file.seek(part.entry.offset)
            file.write(bytes([byte ^ 1]))


def rewrite_index(prefix, change):
    """Write the index again, of the records that `change` gives for those it has."""
    items = change(
        {bytes(key): bytes(record) for key, record in bb.parse_table(bb.read(index_path(prefix)))}
    )
    with open(index_path(prefix), "wb") as file:
        file.write(bb.build_table(sorted(items.items())))


@pytest.mark.parametrize("threads", [1, 4])
def test_whole_checkpoint_has_no_problems(prefix, threads):
    assert problems_of(prefix, threads=threads) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_wrong_bytes_are_told_of_each_tensor_in_key_order(prefix, threads):
    for name in ("s", "a", "p"):
        flip_first_byte(StoredBundle(prefix), name)

    problems = problems_of(prefix, threads=threads)

    assert [problem.tensor for problem in problems] == ["a", "p", "s"]
    assert all(isinstance(problem, ChecksumError) for problem in problems[:2])


def test_other_tensors_are_verified_all_the_same(prefix):
    flip_first_byte(StoredBundle(prefix), "p")

    (problem,) = problems_of(prefix)

    assert problem.tensor == "p"


def test_missing_data_file_is_told_once(prefix, tmp_path):
    for path in tmp_path.glob("*.data-*"):
        path.unlink()

    problems = problems_of(prefix)

    assert all(isinstance(problem, FileNotFoundError) for problem in problems)
    assert sorted(problem.filename for problem in problems) == [
        shard_path(prefix, number, 2) for number in range(2)
    ]


def test_entry_that_is_no_message_is_told_and_the_rest_goes_on(prefix):
    rewrite_index(prefix, lambda items: {**items, b"a": b"\xff"})
    flip_first_byte(StoredBundle(prefix), "s")

    broken, changed = problems_of(prefix)

    assert (type(broken), broken.tensor, changed.tensor) == (FormatError, "a", "s")


def test_unknown_dtype_is_told(prefix):
    entry = encode_entry(99, (2,), 0, 0, 8, 0)
    rewrite_index(prefix, lambda items: {**items, b"new": entry})

    (problem,) = problems_of(prefix)

    assert (type(problem), problem.tensor) == (UnsupportedError, "new")


def test_damaged_block_of_the_index_is_told_and_the_rest_goes_on(tmp_path):
    prefix = str(tmp_path / "many")
    names = [f"{number:04d}" + "x" * 100 for number in range(6000)]  # an index of three blocks
    fastckpt.write(prefix, dict.fromkeys(names, np.float32(1)), sync=False)
    stored = StoredBundle(prefix)
    flip_first_byte(stored, names[-1])
    with open(index_path(prefix), "r+b") as file:
        file.seek(file.seek(0, 2) // 2)
        file.write(b"\xff\xff")

    block, tensor = problems_of(prefix)

    assert (type(block), block.path, block.tensor) == (ChecksumError, index_path(prefix), None)
    assert tensor.tensor == names[-1]


@pytest.mark.parametrize("damage", [False, True])
def test_progress_ends_at_the_bytes_of_all_tensors(prefix, damage):
    if damage:
        flip_first_byte(StoredBundle(prefix), "a")
    told = []

    list(find_problems(StoredBundle(prefix), progress=lambda *step: told.append(step)))

    stored = StoredBundle(prefix)
    total = 100 * 8 + 2 * 40 * 8 + stored.entry("s").size
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
