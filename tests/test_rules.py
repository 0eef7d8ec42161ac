"""Rules for names: renamings in every form, and globs that choose names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastckpt.rules import Filter, compile_globs, make_renamer, match_globs

NAMES = ["a/b/c", "a/b1", "d"]

# ---- Renaming


@given(st.text())
def test_no_rules_keep_every_name(name):
    assert make_renamer(None)(name) == make_renamer([])(name) == make_renamer({})(name) == name


@pytest.mark.parametrize(
    ("rename", "expected"),
    [
        ({"a/b/c": "x"}, "x"),
        ({"a/b/c": None}, None),
        ({"a": "x"}, "a/b/c"),
        ([("^a/", "x/")], "x/b/c"),
        ([("a", "b"), ("b", "z")], "z/z/c"),  # one after the other
        ([["/", "."]], "a.b.c"),
        ([(r"(\w)/(\w)$", r"\2/\1")], "a/c/b"),
        ([(re.compile("A", re.I), lambda match: match[0] * 2)], "aa/b/c"),
        ((rule for rule in [("c", "d")]), "a/b/d"),
        (str.upper, "A/B/C"),
        (lambda name: None, None),
    ],
)
def test_rules_give_the_name(rename, expected):
    renamer = make_renamer(rename)

    assert renamer("a/b/c") == expected
    assert renamer("a/b/c") == expected  # an iterator of rules is read once


@pytest.mark.parametrize("rules", [["ab"], "ab", [("a",)], [("a", "b", "c")], [None], [{"a", "b"}]])
def test_rule_that_is_no_pair_is_a_type_error(rules):
    with pytest.raises(TypeError, match=r"rename: expected \(regex, replacement\)"):
        make_renamer(rules)


@pytest.mark.parametrize("rename", [5, [(5, "b")]])
def test_rules_of_another_type_are_a_type_error(rename):
    with pytest.raises(TypeError):
        make_renamer(rename)


@pytest.mark.parametrize("rule", [("(", "x"), ("a", r"\1"), ("(a)", r"\g<none>"), ("a", "\\q")])
def test_broken_rule_is_a_value_error_before_any_name_is_seen(rule):
    with pytest.raises(ValueError, match=f"rename: {re.escape(repr(rule))}: "):
        make_renamer([("fine", "fine"), rule])


# ---- Globs


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        (None, None, NAMES),
        ("*", None, NAMES),
        ("a/*", None, ["a/b/c", "a/b1"]),
        (["d", "a/*/c"], None, ["a/b/c", "d"]),
        (None, "a*", ["d"]),
        (None, ["d", "*1"], ["a/b/c"]),
        ("a/*", "*c", ["a/b1"]),
        ("a/b?", None, ["a/b1"]),
        ("a/b[0-9]", None, ["a/b1"]),
        ("a", None, []),  # all of the name has to match
        ("D", None, []),
        ([], None, []),
        (None, [], NAMES),
        ("*", "*", []),
        ((glob for glob in ["d"]), (glob for glob in ["x"]), ["d"]),
    ],
)
def test_filter_chooses_what_is_included_and_not_excluded(include, exclude, chosen):
    chooses = Filter(include, exclude)

    assert [name for name in NAMES if chooses(name)] == chosen


def test_star_matches_any_character():
    assert Filter("a*c", None)("a/\n/c")


def test_include_that_chooses_no_name_is_a_value_error():
    Filter(["a/*", "d"], "nothing").check_include(NAMES)
    Filter(None, None).check_include([])

    with pytest.raises(ValueError, match=r"include: 'e\*' matches no variable"):
        Filter(["d", "e*"], None).check_include(NAMES)


@pytest.mark.parametrize("globs", [[5], [b"d"], [None], ["d", 5]])
def test_glob_that_is_no_string_is_a_type_error_of_its_option(globs):
    with pytest.raises(TypeError, match="exclude: expected a glob or several, got"):
        Filter(None, globs)
    with pytest.raises(TypeError, match="which: expected a glob or several, got"):
        compile_globs("which", globs)


def test_matched_names_are_those_of_all_globs():
    assert match_globs("g", "a/*", NAMES) == {"a/b/c", "a/b1"}
    assert match_globs("g", ["a/*", "*1", "d"], NAMES) == set(NAMES)
    assert match_globs("g", [], NAMES) == set()


def test_glob_that_matches_no_name_is_a_value_error():
    with pytest.raises(ValueError, match="g: 'e' matches no tensor"):
        match_globs("g", ["d", "e"], NAMES)
