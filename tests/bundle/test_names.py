"""The grammar of the file names of V2 checkpoints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastckpt.bundle.names import index_path, list_files, parse_shard, shard_path, strip_suffix

prefixes = st.text(max_size=20) | st.sampled_from(["m.index", "d/m.data-00000-of-00001", "."])
numbers = st.integers(0, 12) | st.integers(0, 2**31 - 1)


@given(prefixes, numbers, numbers)
def test_parts_of_a_written_name_are_those_it_was_made_of(prefix, shard, count):
    path = shard_path(prefix, shard, count)

    assert parse_shard(path) == (prefix, shard, count)
    assert [strip_suffix(each) for each in (path, index_path(prefix), prefix + ".meta")] == [
        prefix
    ] * 3


@pytest.mark.parametrize(
    "path",
    ["", "m", "m.data", "m.data-0000-of-0001", "m.data-00000-of-00001x", "m.data-00000-of-00001\n"]
    + ["m.data-٠٠٠٠٠-of-٠٠٠٠١", "m.data-?????-of-00001", "m.data-00000-of-" + "9" * 5000]
    + ["m.data-00000-of-00001.tempstate123", "m.data-00000-of-00001.tmp-0123456789abcdef"],
)  # fmt: skip
def test_other_paths_are_no_data_files(path):
    assert parse_shard(path) is None
    assert strip_suffix(path) is None


def test_files_of_a_prefix_are_those_of_its_own_name(tmp_path):
    own = [shard_path("m", shard, count) for count in (1, 3) for shard in range(count)]
    staged = [f"{own[0]}.tmp-0123456789abcdef", "m.index.old-0123456789abcdef"]
    others = ["m.index", "m.meta", "m.data-0-of-1", "m.x", "mm.data-00000-of-00001"]
    others += ["m.data-00000-of-00001.index", "m.m.data-00000-of-00001"]
    for name in [*own, *staged, *others]:
        (tmp_path / name).touch()

    for head in (f"{tmp_path}/", f"{tmp_path}//", f"{tmp_path}/./"):
        assert list_files(head + "m") == (
            [head + name for name in sorted(own)],
            [head + name for name in sorted(staged)],
        )
    assert list_files(f"{tmp_path}/absent/m") == ([], [])
