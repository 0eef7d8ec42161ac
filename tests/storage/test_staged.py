"""The names of staged files."""

import pytest

from fastckpt.storage.staged import aside_path, split_staged, staged_path

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    "name", ["m.index", "dir.tmp-1/m", "m\n.index", ".index", "m.tmp-" + TOKEN]
)
@pytest.mark.parametrize("spell", [staged_path, aside_path])
def test_name_is_taken_apart_as_it_was_put_together(name, spell):
    assert split_staged(spell(name, TOKEN)) == (name, TOKEN)


@pytest.mark.parametrize(
    "name",
    [
        "m.index",
        "m.tmp-",
        f"m.tmp-{TOKEN}0",
        f"m.tmp-{TOKEN[1:]}",
        f"m.new-{TOKEN}",
        f"m.tmp-{TOKEN.upper()}",
    ],
)
def test_other_names_are_not_staged(name):
    assert split_staged(name) is None
