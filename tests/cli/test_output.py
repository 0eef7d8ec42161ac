"""What is printed: JSON, terminals, pipes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import call_json
from fresh import run
from hypothesis import given
from hypothesis import strategies as st

import fastckpt
from fastckpt.cli.output import to_json
from fastckpt.text import printable, spell_size

HOSTILE = "evil\x1b]0;owned\x07\n\u202egnp"


# ---- JSON, terminals, pipes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        (np.float32(0.5), "0.5"),
        (np.arange(2), "[\n  0,\n  1\n]"),
        (b"\xff", '"\\\\xff"'),
        (1 + 2j, "[\n  1.0,\n  2.0\n]"),
        ("w\udcff", '"w\\\\xff"'),
        ("a\\b", '"a\\\\b"'),  # any other text stays as it is
    ],
)
def test_json_holds_what_json_cannot(value, expected):
    assert to_json(value) == expected


@given(st.lists(st.text(st.sampled_from("\\xf80\udcff\udc80\ud800ä\n")), min_size=2, max_size=9))
def test_different_texts_are_different_in_json_and_valid_utf8(texts):
    again = [json.loads(to_json({text: text})) for text in texts]

    for text, document in zip(texts, again, strict=True):
        ((key, value),) = document.items()
        assert key == value
        assert value.encode("utf-8")[:0] == b""
        assert value == text or "\\" in value
    assert len({str(each) for each in again}) == len(set(texts))


def test_names_never_drive_a_terminal(call, out):
    fastckpt.write(out, {HOSTILE: np.zeros(2)}, sync=False)

    for verb in ("ls", "tree", "stats", "verify", "objects"):
        printed = call(verb, out)[1]
        assert printed.replace("\n", "").isprintable(), verb
    assert call_json(call, "ls", out)["tensors"][0]["name"] == HOSTILE
    assert printable(HOSTILE) == "evil\\x1b]0;owned\\x07\\n\\u202egnp"


def test_errors_never_drive_a_terminal(call, source):
    for arguments in (["show", source, HOSTILE], ["ls", HOSTILE], [HOSTILE]):
        err = call(*arguments)[2]
        assert err.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
    ],
)
def test_sizes_are_spelt_as_people_read_them(size, text):
    assert spell_size(size) == text


def command(*arguments, **options):
    line = [sys.executable, "-m", "fastckpt", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, check=False, timeout=60, **options)


def test_reader_that_has_seen_enough_is_no_error(tmp_path):
    prefix = tmp_path / "many"
    fastckpt.write(prefix, {f"tensor/{i}": np.zeros(1) for i in range(20000)}, sync=False)
    shell = f"'{sys.executable}' -m fastckpt ls '{prefix}' | head -n 1"

    done = subprocess.run(shell, shell=True, capture_output=True, check=True, timeout=60)

    assert done.stdout.split()[0] == b"name"
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_output_in_any_encoding(tmp_path, encoding):
    prefix = tmp_path / "names"
    fastckpt.write(prefix, {"größe/模型": np.arange(50.0)}, sync=False)

    done = command("show", prefix, "größe/模型", env={**os.environ, "PYTHONIOENCODING": encoding})

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"min 0" in done.stdout


def test_module_and_version(source):
    assert command("ls", source).returncode == 0
    assert command("--version").stdout.decode().split() == ["fastckpt", fastckpt.__version__]
    assert command("help", "ls").stdout == command("ls", "--help").stdout


IMPORTED = """
    import io, sys
    from contextlib import redirect_stdout
    from fastckpt.cli import main as cli
    with redirect_stdout(io.StringIO()):
        assert cli.main(sys.argv[1:]) == 0
    print(*sys.modules)
"""


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--by", "prefix"], ["ls", "--json"], ["tree"], ["state"]],
    ids=" ".join,
)
def test_verb_that_reads_no_tensor_does_not_import_numpy(golden, arguments):
    modules = set(run(IMPORTED, *arguments, golden / "tf1_saver").split())

    assert "fastckpt.format._table" in modules
    assert not {"numpy", "rich", "fastckpt.cli.edit", "fastckpt.cli.check"} & modules


@pytest.mark.parametrize("arguments", [["verify"], ["objects"], ["stats"]], ids=" ".join)
def test_verb_imports_no_package_that_it_does_not_need(golden, arguments):
    modules = set(run(IMPORTED, *arguments, golden / "tf1_saver").split())

    assert not {"rich", "h5py", "zarr", "pandas", "safetensors", "tensorflow"} & modules
