"""The grammar of the file names of V1 checkpoints."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastckpt.v1.names import (
    V1Name,
    find_shards,
    parse_v1,
    strip_shards,
    v1_pattern,
    v1_shard_path,
)

prefixes = st.text(max_size=20) | st.sampled_from(["m-00000-of-00001", "d/m-?????-of-00002", "-"])
counts = st.integers(1, 12) | st.integers(1, 2**31 - 1)


@given(prefixes, counts, st.data())
def test_parts_of_a_written_name_are_those_it_was_made_of(prefix, count, data):
    shard = data.draw(st.integers(0, count - 1))

    assert parse_v1(v1_shard_path(prefix, shard, count)) == V1Name(prefix, shard, count)
    assert parse_v1(v1_pattern(prefix, count)) == V1Name(prefix, None, count)
    assert parse_v1(v1_shard_path(prefix, shard, count)).pattern == v1_pattern(prefix, count)


@pytest.mark.parametrize(
    "path",
    ["", "m", "m-0000-of-0001", "m-00001-of-00001", "m-00000-of-00000", "m-?????-of-00000"]
    + ["m-00000-of-00001x", "m-00000-of-00001\n", "m-٠٠٠٠٠-of-٠٠٠٠١", "m.data-00000-of-00001.index"]
    + ["m-00000-of-" + "9" * 5000, "m-?0000-of-00003", "m-00000-of-?????", "m--of-00001"],
)  # fmt: skip
def test_other_paths_have_no_parts(path):
    assert parse_v1(path) is None


@pytest.mark.parametrize("shard", ["?????", "?", "??????????", "*"])
def test_patterns_are_those_that_match_all_shards(shard):
    assert parse_v1(f"d/m-{shard}-of-00003") == V1Name("d/m", None, 3)


@given(st.text("m-?*0123of", max_size=40))
def test_parser_takes_any_path(path):
    parts = parse_v1(path)

    assert parts is None or path.startswith(parts.prefix + "-")


@given(st.lists(st.tuples(st.sampled_from(["m", "mm", "m-1", ""]), st.integers(1, 5)), max_size=9))
def test_shards_among_names_are_those_of_one_checkpoint(saves):
    names = {v1_shard_path(base, shard, n) for base, n in saves for shard in range(n)}
    shuffled = sorted(names | {"m", "m-?????-of-00002", "m.index", "checkpoint"})
    random.Random(len(names)).shuffle(shuffled)

    for count in (None, 1, 4):
        found = find_shards(shuffled, "m", count)

        wanted = sorted(name for name in names if (parse_v1(name)).prefix == "m")
        if count is None and wanted:
            count = parse_v1(wanted[0]).num_shards
        assert found == [name for name in wanted if parse_v1(name).num_shards == count]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("m", "m"), ("m-1-of-2", "m"), ("m-?????-of-00002", "m"), ("m-1-of-2-3", "m-1-of-2-3")],
)
def test_graph_has_the_path_without_a_shards_number(path, expected):
    assert strip_shards(path) == expected
