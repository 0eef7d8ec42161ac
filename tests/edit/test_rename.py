"""Renaming, leaving out, naming again and resharding: what shares its data, and what does not."""

import errno
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renaming import EDITS, EMB, LINKING, TENSORS, inodes, read_all, shards_of, snapshot

import fastckpt
from fastckpt.bundle.names import shard_path
from fastckpt.edit import rename as edit


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def sizes_of(prefix):
    return sum(os.path.getsize(path) for path in shards_of(prefix))


EXPECTED = {
    "rename": {f"new/{name}": value for name, value in TENSORS.items()},
    "subset": {name: value for name, value in TENSORS.items() if name.startswith("model/")},
    "alias": TENSORS | {"again": TENSORS["text"]},
    "reshard": TENSORS,
}


# ---- the result


@pytest.mark.parametrize("verb", EDITS)
def test_result_has_the_tensors(source, target, verb):
    EDITS[verb](source, target)

    assert_same(read_all(target), EXPECTED[verb])
    assert len(list(target.parent.iterdir())) == len(shards_of(target)) + 1


@pytest.mark.parametrize("verb", EDITS)
def test_source_may_be_any_path_or_open(source, out, verb):
    for given_path in (str(source), os.fsencode(source), source.with_suffix(".index")):
        EDITS[verb](given_path, out)
        assert_same(read_all(out), EXPECTED[verb])
    with fastckpt.read(source) as checkpoint:
        EDITS[verb](checkpoint, out)
        assert_same(checkpoint, TENSORS)
    assert_same(read_all(out), EXPECTED[verb])


@pytest.mark.parametrize("verb", LINKING)
def test_data_files_are_shared(source, out, verb):
    before = snapshot(source.parent)

    EDITS[verb](source, out)

    assert inodes(out) <= inodes(source)
    assert all(os.stat(path).st_nlink == 2 for path in shards_of(out))
    assert snapshot(source.parent) == before


@pytest.mark.parametrize("verb", LINKING)
def test_nothing_of_the_data_is_read(source, out, verb):
    for path in shards_of(source):
        os.truncate(path, 0)
        os.truncate(path, 1 << 20)

    EDITS[verb](source, out)

    assert os.path.exists(f"{out}.index")


@pytest.mark.parametrize("verb", LINKING)
def test_data_files_are_copied_without_link(source, out, verb):
    EDITS[verb](source, out, link=False)

    assert_same(read_all(out), EXPECTED[verb])
    assert inodes(out).isdisjoint(inodes(source))


@pytest.mark.parametrize("verb", LINKING)
def test_data_files_are_copied_where_there_are_no_links(source, out, monkeypatch, verb):
    def refuse(*args, **options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)

    EDITS[verb](source, out)

    assert_same(read_all(out), EXPECTED[verb])
    assert inodes(out).isdisjoint(inodes(source))


def test_subset_without_link_leaves_bytes_out(source, out):
    edit.subset(source, out, exclude="*/Adam", link=False)

    assert_same(read_all(out), {n: v for n, v in TENSORS.items() if "Adam" not in n})
    assert sizes_of(out) <= sizes_of(source) - TENSORS["model/kernel/Adam"].nbytes


def test_data_file_without_a_tensor_is_left_out(source, out):
    with fastckpt.read(source) as checkpoint:
        shard = checkpoint.info("model/kernel").shard

    edit.subset(source, out, "model/kernel")

    assert inodes(out) == {os.stat(shards_of(source)[shard]).st_ino}
    assert_same(read_all(out), {"model/kernel": TENSORS["model/kernel"]})


def test_missing_data_file_that_is_not_needed_is_no_error(source, out):
    with fastckpt.read(source) as checkpoint:
        needed = checkpoint.info("model/kernel").shard
    for number, path in enumerate(shards_of(source)):
        if number != needed:
            os.unlink(path)

    edit.subset(source, out, "model/kernel")

    assert_same(read_all(out), {"model/kernel": TENSORS["model/kernel"]})


@pytest.mark.parametrize("verb", EDITS)
def test_destination_may_be_the_source_which_somebody_reads(source, verb):
    with fastckpt.read(source) as checkpoint:
        views = {name: checkpoint[name] for name in checkpoint}

        EDITS[verb](source, source)

        assert_same(views, TENSORS)
    assert_same(read_all(source), EXPECTED[verb])
    assert len(list(source.parent.iterdir())) == len(shards_of(source)) + 1


def test_open_source_may_be_the_destination(source):
    with fastckpt.read(source) as checkpoint:
        edit.rename(checkpoint, source, [("^", "1/")])
        edit.subset(source, source, "1/*", "1/text")
        edit.rename(source, source, {}, link=False)

    expected = {f"1/{name}": value for name, value in TENSORS.items() if name != "text"}
    assert_same(read_all(source), expected)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"emb": "embedding", "text": None}, ["embedding", "model/bias", "model/kernel"]),
        ({"emb": "model/bias", "model/bias": "emb", "text": None}, None),
        ([("^model/", ""), ("kernel", "w")], ["bias", "emb", "text", "w"]),
        (lambda name: None if name == "emb" else name[::-1], None),
        ([(r"(\w+)/(\w+)", r"\2/\1")], ["bias/model", "emb", "kernel/model", "text"]),
    ],
)
def test_rules_mean_what_they_mean_to_restore(source, out, rules, expected):
    edit.rename(source, out, rules)

    found = read_all(out)
    if expected is not None:
        assert [name for name in found if "Adam" not in name] == expected
    target = {name: np.zeros_like(value) for name, value in found.items()}
    fastckpt.restore(target, source, rename=rules, strict=True)
    assert_same(target, found)


def test_partitioned_tensor_keeps_its_slices(source, out):
    edit.rename(source, out, {"emb": "a much longer name"})

    with fastckpt.read(out) as checkpoint, fastckpt.read(source) as old:
        assert checkpoint.info("a much longer name").slices == old.info("emb").slices
        np.testing.assert_array_equal(checkpoint.get_slice("a much longer name")[1:4], EMB[1:4])


def test_alias_leads_to_the_same_bytes(source, out):
    edit.alias(source, out, {"a": "emb", "b": "emb", "c": "text"})

    with fastckpt.read(out) as checkpoint:
        assert checkpoint.info("c").offset == checkpoint.info("text").offset
        assert checkpoint.info("c").shard == checkpoint.info("text").shard
        for name in ("a", "b", "emb"):
            np.testing.assert_array_equal(checkpoint[name], EMB)
    assert sizes_of(out) == sizes_of(source)


@pytest.mark.parametrize("num_shards", [1, 2, 7])
@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_reshard_makes_so_many_files(source, out, num_shards, alignment):
    edit.reshard(source, out, num_shards, alignment=alignment)

    assert len(shards_of(out)) == num_shards
    with fastckpt.read(out) as checkpoint:
        offsets = [info.offset for info in checkpoint.infos() if not info.slices]
        assert len(offsets) == 4 and all(offset % alignment == 0 for offset in offsets)
        assert len(checkpoint.info("emb").slices) == 2
    assert_same(read_all(out), TENSORS)


def test_reshard_takes_the_memory_of_a_chunk(tmp_path, out):
    fastckpt.write(tmp_path / "big", {"a": np.zeros(1 << 23)}, sync=False)
    edit.reshard(tmp_path / "big", out, 1)  # so that everything is imported

    tracemalloc.start()
    edit.reshard(tmp_path / "big", out, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 << 20


@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_align_begins_every_tensor_at_a_multiple(source, out, alignment):
    fastckpt.align(source, out, alignment)

    assert_same(read_all(out), TENSORS)
    with fastckpt.read(out) as checkpoint:
        assert checkpoint.num_shards == 3
        places = [
            part.entry.offset for name in checkpoint for part in checkpoint.stored.parts(name)
        ]
    assert {place % alignment for place in places} == {0}


def test_align_of_what_is_aligned_shares_the_data_files(source, out):
    fastckpt.align(source, out)

    shared = [shard_path("", number, 3) for number in range(3)]
    assert all(os.path.samefile(f"{source}{each}", f"{out}{each}") for each in shared)


def test_align_of_what_tensorflow_packed_makes_views_aligned(golden, out):
    source = golden / "tf1_saver" / "model.ckpt-80"

    fastckpt.align(source, out)

    with fastckpt.read(source) as packed, fastckpt.read(out) as aligned:
        assert not all(packed[name].flags.aligned for name in packed)
        assert all(aligned[name].flags.aligned for name in aligned)
        for name in packed:
            np.testing.assert_array_equal(aligned[name], packed[name])


@pytest.mark.parametrize(
    "write",
    [
        lambda src, dst, progress: fastckpt.reshard(src, dst, 2, progress=progress),
        lambda src, dst, progress: fastckpt.align(src, dst, 128, progress=progress),
        lambda src, dst, progress: fastckpt.average([src, src], dst, progress=progress),
        lambda src, dst, progress: fastckpt.cast(
            src, dst, {"model/*": "bfloat16"}, progress=progress
        ),
        lambda src, dst, progress: fastckpt.load(src, progress=progress),
        lambda src, dst, progress: fastckpt.read(src).verify(progress=progress),
    ],
    ids=["reshard", "align", "average", "cast", "load", "verify"],
)
def test_progress_grows_to_the_total(source, out, write):
    told = []

    write(source, out, lambda done, total: told.append((done, total)))

    (total,) = {total for _, total in told}
    assert total == sum(info.nbytes for info in fastckpt.list_tensors(source))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)


def test_checkpoint_without_tensors_stays_one(tmp_path, out):
    fastckpt.write(tmp_path / "none", {}, sync=False)

    for number, make in enumerate(
        [
            lambda dst: edit.rename(tmp_path / "none", dst, {}),
            lambda dst: edit.subset(tmp_path / "none", dst),
            lambda dst: edit.alias(tmp_path / "none", dst, {}),
            lambda dst: edit.reshard(tmp_path / "none", dst, 3),
        ]
    ):
        make(f"{out}{number}")
        assert read_all(f"{out}{number}") == {}


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(NAMES, unique=True, min_size=1, max_size=12),
    parts=st.lists(st.booleans(), min_size=12, max_size=12),
    num_shards=st.integers(1, 4),
    prefix=NAMES,
)
def test_renamed_and_renamed_back_is_the_same_index(
    tmp_path_factory, names, parts, num_shards, prefix
):
    folder = tmp_path_factory.mktemp("renamed")
    with fastckpt.Writer(folder / "a", num_shards=num_shards, sync=False) as writer:
        for number, (name, is_cut) in enumerate(zip(names, parts, strict=False)):
            if is_cut:
                for at in range(3):
                    writer.add_slice(name, [number], full_shape=[3], start=[at])
            else:
                writer.add(name, np.arange(number))

    edit.rename(folder / "a", folder / "b", lambda name: prefix + name)
    edit.rename(folder / "b", folder / "b", lambda name: name[len(prefix) :])

    assert (folder / "b.index").read_bytes() == (folder / "a.index").read_bytes()
    assert inodes(folder / "a") == inodes(folder / "b")
