"""Text for people: what a stranger's name can do to a terminal, a shell and a report (nothing)."""

import os
import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastckpt import text

# Characters that drive terminals, turn the direction of writing, end lines or are none at all
ODD = (
    "\x00\x07\x08\t\n\x0b\x0c\r\x1b\x7f\x85\x9b\xa0\u061c\u200e\u200f\u2028\u2029\u202e\u2066\ufeff"
)
NAMES = st.text(st.characters() | st.sampled_from(ODD + "\udc80\udcff\ud800'\"\\$`!* -"))


@given(NAMES)
def test_printable_text_is_one_line_that_drives_no_terminal(name):
    shown = text.printable(name)

    assert shown.isprintable()
    assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert text.printable(shown) == shown
    assert name.isprintable() == (shown == name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("ü/w", "ü/w"), ("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"), ("\udcff", r"\xff")]
    + [("\u202e", r"\u202e"), ("\U000e0001", r"\U000e0001"), ("\ud800", r"\ud800")],
)
def test_character_that_does_not_print_is_an_escape(name, shown):
    assert text.printable(name) == shown


def words_of(command):
    """What a shell takes as the words of a command, in the locale of bytes."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(b"\0")[:-1]


@given(NAMES.filter(lambda name: name and "\0" not in name and "\ud800" not in name))
@settings(max_examples=60, deadline=None)
def test_quoted_path_is_one_word_of_a_shell_and_no_option(path):
    try:
        expected = os.fsencode(path)
    except UnicodeEncodeError:
        return  # no file has such a name
    quoted = text.quote(path)

    assert quoted.isprintable()
    found = words_of(quoted)
    assert [os.path.normpath(word) for word in found] == [os.path.normpath(expected)]
    assert not found[0].startswith(b"-")


@given(st.text(max_size=300), st.integers(5, 200))
def test_cut_text_keeps_both_ends(name, width):
    shown = text.cut(name, width)

    assert len(shown) == min(len(name), width)
    if len(name) > width:
        end = (width - 3) // 2
        assert shown == name[: width - 3 - end] + "..." + name[len(name) - end :]


@pytest.mark.parametrize(
    ("size", "spelt"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (1.15e6, "1.1 MiB")]
    + [(1048530, "1.0 MiB"), (3 << 40, "3.0 TiB"), (1 << 70, "1024.0 EiB")],
)
def test_size_is_spelt_in_the_unit_that_suits_it(size, spelt):
    assert text.spell_size(size) == spelt


def test_counts_have_plurals():
    assert text.count(1, "tensor") == "1 tensor"
    assert text.count(2000, "tensor") == "2,000 tensors"
    assert text.count(2, "entry", "entries") == "2 entries"


def test_list_is_cut_after_its_first_names():
    assert text.name_some(["a", "b"]) == "'a', 'b'"
    assert text.name_some(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e' and 2 more"
    assert text.name_some(["x\n", "y"], 1, spell=str) == "x\\n and 1 more"


def test_section_is_cut_and_none_of_its_lines_can_be_forged():
    lines = list(text.section("added  3", ["a\nhealthy", "b", "c"], 2))

    assert lines == ["added  3", "    a\\nhealthy", "    b", "    ... and 1 more"]


@given(NAMES, NAMES)
def test_html_has_no_element_of_a_name(title, note):
    for html in (
        text.html_line(title, note),
        text.html_list(title, [note]),
        text.html_lines([note]),
    ):
        assert html.replace("\n", "").isprintable()
        assert "<script" not in html
    assert "<" not in text.html_lines([title])[len("<pre style='margin:0'>") : -len("</pre>")]
