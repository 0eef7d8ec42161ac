"""The verbs that check: verify, doctor, diff, report."""

import json
import os

import numpy as np
from command_line import TENSORS, call_json

import fastckpt

# ---- Checking


def test_verify_tells_whole_from_damaged(call, source):
    whole = call("verify", source)
    with open(f"{source}.data-00000-of-00001", "r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    damaged = call("verify", source)

    assert whole[0] == 0
    assert whole[1].startswith("5 tensors, 4.7 KiB: all as written")
    assert damaged[0] == 1
    assert "tensor 'model/kernel'" in damaged[1] and "expected" in damaged[1]


def test_diff_tells_by_its_status(call, source, out):
    fastckpt.write(out, {**TENSORS, "step": np.int64(8)}, sync=False)

    same = call_json(call, "diff", source, source)
    changed = call_json(call, "diff", source, out, status=1)

    assert same["is_same"] is True
    assert [each["name"] for each in changed["changed"]] == ["step"]
    assert call_json(call, "diff", source, out, "--atol", "1")["is_same"] is True


def test_doctor_salvages_what_verifies(call, golden, out):
    broken = golden / "corrupt" / "payload_flip" / "ckpt"

    before = call("doctor", broken, "--verify")
    report = call_json(call, "doctor", broken, "--salvage", out, status=1)

    assert before[0] == 1
    assert sorted(fastckpt.read(out)) == sorted(report["saved"])
    assert call("doctor", out)[0] == 0
    assert call("doctor", broken, "--salvage", out)[0] == 2  # it is there now


def test_doctor_ends_an_interrupted_save(call, source):
    os.rename(f"{source}.index", f"{source}.index.tmp-{'0' * 16}")

    assert call("ls", source)[0] == 2
    assert call("doctor", source)[0] == 1
    assert call("doctor", source, "--complete")[0] == 0
    assert call("ls", source)[0] == 0
    assert "no save was interrupted" in call("doctor", source, "--discard")[1]


# ---- report


def test_report_writes_a_page_and_does_not_replace_one(call, source, tmp_path):
    page = str(tmp_path / "r.html")

    status, out, _ = call("report", source, page, "--diff", source)

    assert (status, out.split(":")[0]) == (0, page)
    assert b"<!doctype html>" in (tmp_path / "r.html").read_bytes()
    status, _, error = call("report", source, page)
    assert status == 2 and "use --force to replace it" in error
    status, out, _ = call("report", source, page, "--force", "--json")
    assert json.loads(out) == {"written": page, "nbytes": (tmp_path / "r.html").stat().st_size}
