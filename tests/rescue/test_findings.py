"""Findings and diagnoses as text and JSON; paths as words of a shell."""

import dataclasses
import json
import os

from diagnoses import data_of

from fastckpt.rescue.doctor import doctor


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
