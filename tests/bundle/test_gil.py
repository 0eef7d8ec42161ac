"""Checksums, copies and I/O of much data let other threads run meanwhile.

A thread stands at a gate. The gate is opened, which alone does not let it run: with an endless
switch interval it gets the interpreter only when the call under test gives it up.
"""

import sys
import threading

import numpy as np
import pytest

import fastckpt
from fastckpt.format.checksum import crc32c
from fastckpt.format.values import encode_value
from fastckpt.storage.local import File
from fastckpt.storage.output import OutputFile

SIZE = 32 << 20  # bytes: milliseconds, in which a thread has the time to wake up
ATTEMPTS = 30  # on a busy machine it may not at the first one


@pytest.fixture(autouse=True)
def endless_switch_interval():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = tmp_path_factory.mktemp("gil") / "m"
    fastckpt.write(path, {"v": np.zeros(SIZE, np.uint8), "f": np.zeros(SIZE // 4, ">f4")})
    return path


def lets_others_run(call):
    """Whether another thread runs during one of some calls."""
    return any(another_runs_during(call) for _ in range(ATTEMPTS))


def another_runs_during(call):
    gate = threading.Lock()
    ran = []

    def wait():
        with gate:
            ran.append(True)

    gate.acquire()
    thread = threading.Thread(target=wait)
    thread.start()
    gate.release()
    call()
    result = bool(ran)
    thread.join()
    return result


def test_call_that_keeps_the_gil_is_found_out():
    data = bytes(1 << 20)

    assert not lets_others_run(lambda: data.count(b"\x01"))


def test_checksum_lets_others_run():
    data = bytes(SIZE)

    assert lets_others_run(lambda: crc32c(data))


def test_reading_lets_others_run(prefix):
    file = File(f"{prefix}.data-00000-of-00001")
    buffer = bytearray(SIZE)

    assert lets_others_run(lambda: file.read_into(memoryview(buffer), 0, "v"))
    assert lets_others_run(lambda: file.checksum(0, SIZE, "v"))


def test_writing_lets_others_run(tmp_path):
    file = OutputFile(str(tmp_path / "f"))
    data = memoryview(bytes(SIZE))

    assert lets_others_run(lambda: file.append(data))


def test_tensor_that_is_copied_lets_others_run(prefix):
    with fastckpt.read(prefix) as ckpt:
        assert lets_others_run(lambda: ckpt.get_tensor("v", copy=True))
        assert lets_others_run(lambda: ckpt.get_tensor("f", copy=True))


def test_tensor_that_is_converted_lets_others_run(tmp_path):
    swapped = np.zeros(SIZE // 4, ">f4")

    assert lets_others_run(lambda: encode_value("f", swapped))
