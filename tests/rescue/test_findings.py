"""Findings and diagnoses as text and JSON; paths as words of a shell."""

import dataclasses
import json
import os
import subprocess

import pytest
from diagnoses import data_of

from fastckpt.rescue.doctor import doctor
from fastckpt.rescue.findings import Notes, command
from fastckpt.text import name_some, quote


def test_diagnosis_prints_what_where_why_and_what_to_do(prefix):
    os.unlink(f"{prefix}.index")

    lines = str(doctor(prefix)).splitlines()

    assert lines[0] == str(prefix)
    assert "error: index missing" in lines
    assert f"  where: {prefix}.index" in lines
    assert any(line.startswith("  why:   ") for line in lines)
    assert any(line.startswith("  do:    copy") for line in lines)


def test_healthy_diagnosis_says_how_far_it_looked(small):
    assert str(doctor(small)).endswith("healthy (sizes and index; data not read)")
    assert str(doctor(small, verify=True)).endswith("healthy (every byte verified)")


def test_diagnosis_becomes_json(small):
    os.unlink(data_of(small))

    document = json.loads(json.dumps(dataclasses.asdict(doctor(small))))

    assert document["findings"][0]["severity"] == "error"
    assert document["checkpoints"][0]["format"] == "V2"


# ---- paths as words of a shell

ODD_NAMES = [
    "m'$(touch pwned).index",
    "it's `touch pwned` here",
    'a "b" c$HOME\\',
    "-rf",
    "two\nlines",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\udcff\udcfe",
    "é",
    "*?[a]",
    "",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_quoted_path_is_one_word_of_a_shell(name, tmp_path):
    line = f"printf '%s\\0' {quote(name)}"

    done = subprocess.run(["bash", "-c", os.fsencode(line)], cwd=tmp_path, capture_output=True)

    assert os.path.normpath(os.fsdecode(done.stdout[:-1])) == os.path.normpath(name)
    assert list(tmp_path.iterdir()) == []
    assert quote(name).isprintable()


def test_plain_path_is_quoted_no_more_than_it_needs():
    assert quote("run/model.ckpt-7") == "run/model.ckpt-7"
    assert quote("my run") == "'my run'"
    assert command("state", "my run", "--repair") == "fastckpt state 'my run' --repair"


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name])
def test_text_of_a_diagnosis_has_no_line_of_a_name(name, tmp_path):
    (tmp_path / f"{name}.index").write_bytes(b"\x1f\x8b" + bytes(60))

    for path in (tmp_path, tmp_path / name):
        diagnosis = doctor(path)
        assert diagnosis.findings
        lines = str(diagnosis).split("\n")
        assert all(line.isprintable() for line in lines)
        assert {line.split()[0] for line in lines if line and line[0] != " "} <= {
            lines[0].split()[0], "error:", "warning:", "note:",
        }  # fmt: skip


def test_names_are_counted_after_the_first_few():
    assert name_some(["a", "b"]) == "'a', 'b'"
    assert name_some(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e' and 2 more"


def test_same_finding_twice_is_one():
    notes = Notes(False)
    for severity in ("note", "error", "note"):
        notes.add(severity, "what", "where", "why")

    assert [each.severity for each in notes.sorted()] == ["error", "note"]
    assert notes.has_errors()
