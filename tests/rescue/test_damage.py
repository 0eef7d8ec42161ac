"""Findings about damaged bytes: of the index, of entries, of data files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from diagnoses import data_of, find
from places import GOLDEN

import fastckpt
from fastckpt.rescue.damage import has_changed_line_ends
from fastckpt.rescue.doctor import doctor

CORRUPT = sorted(path.parent.name for path in GOLDEN.glob("corrupt/*/expected.json"))
DATA_OK_INDEX_OK = {"payload_flip", "string_payload_flip", "string_length_crc"}

assert len(CORRUPT) >= 48, "the broken files of the golden corpus are not there"


@pytest.mark.parametrize("fault", CORRUPT)
def test_every_broken_checkpoint_of_the_corpus_is_an_error(fault):
    diagnosis = doctor(GOLDEN / "corrupt" / fault / "ckpt", verify=True)

    assert not diagnosis.is_healthy
    assert not any(checkpoint.is_whole for checkpoint in diagnosis.checkpoints)
    errors = [each for each in diagnosis.findings if each.severity == "error"]
    assert errors and all(each.why and each.todo for each in errors)


@pytest.mark.parametrize("fault", CORRUPT)
def test_only_damaged_bytes_need_verify_to_be_found(fault):
    diagnosis = doctor(GOLDEN / "corrupt" / fault / "ckpt")

    needs_bytes = DATA_OK_INDEX_OK | {
        name for name in CORRUPT if name.startswith("string_length") or name == "v1_missing_tensor"
    }
    assert diagnosis.is_healthy == (fault in needs_bytes)


def test_shard_that_was_cut_off_is_too_short(small):
    data = data_of(small)
    os.truncate(data, data.stat().st_size // 2)

    diagnosis = doctor(small)

    finding = find(diagnosis, "too short")
    assert finding.where == str(data)
    assert "'t5'" in finding.why and "'t0'" not in finding.why
    assert f"fastckpt salvage {small} " in finding.todo
    assert not diagnosis.checkpoints[0].is_whole


def test_empty_shard_is_called_empty(small):
    os.truncate(data_of(small), 0)

    assert find(doctor(small), "empty file").where == str(data_of(small))


def test_data_of_another_save_is_told_from_damage(small):
    other = small.parent / "other"
    fastckpt.write(other, {f"t{i}": np.full(100, 50 + i) for i in range(6)})
    shutil.copy(data_of(other), data_of(small))

    finding = find(doctor(small, verify=True), "different saves")

    assert "6 of 6" in finding.why
    assert doctor(small).is_healthy


def test_damaged_tensor_is_named_when_bytes_are_read(small):
    data = data_of(small)
    content = bytearray(data.read_bytes())
    content[fastckpt.read(small).info("t3").offset] ^= 1
    data.write_bytes(content)

    finding = find(doctor(small, verify=True), "damaged")

    assert finding.what == "1 tensor damaged: 't3'"
    assert f"fastckpt salvage {small} " in finding.todo


def test_unknown_dtype_names_the_tensor():
    finding = find(doctor(GOLDEN / "corrupt" / "entry_dtype_unknown" / "ckpt"), "unknown dtype")

    assert "'c/int64'" in finding.why


# ---- line ends


@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
def test_line_ends_that_git_changed_are_told(tmp_path, suffix):
    fastckpt.write(
        tmp_path / "m", {f"{i}\na": np.frombuffer(b"a\nb\n\n", np.uint8) for i in range(9)}
    )
    path = Path(f"{tmp_path}/m{suffix}")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    diagnosis = doctor(tmp_path / "m", verify=True)

    assert find(diagnosis, "line ends changed").where == str(path)
    assert not [each for each in diagnosis.findings if "different saves" in each.what]


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (b"", False),
        (b"a\r\n", False),
        (b"a\r\nb\r\n", True),
        (b"a\r\nb\n", False),
        (b"\n" * 2, False),
        (b"x" * (256 * 1024 - 1) + b"\r\n\r\n", True),
        (b"\r" * 9, False),
    ],
)
def test_changed_line_ends_are_all_of_them(tmp_path, content, changed):
    (tmp_path / "file").write_bytes(content)

    assert has_changed_line_ends(str(tmp_path / "file")) is changed


def test_file_that_cannot_be_opened_has_no_changed_line_ends(tmp_path):
    assert not has_changed_line_ends(str(tmp_path / "none"))
    assert not has_changed_line_ends(str(tmp_path))
