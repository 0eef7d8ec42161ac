"""A new file that is appended to."""

import os

import pytest

from fastckpt.storage.output import OutputFile

CONTENT = bytes(range(256)) * 3000  # three chunks, the last one not full


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return str(path)


def test_output_never_opens_a_file_that_is_there(path):
    with pytest.raises(FileExistsError):
        OutputFile(path)

    with open(path, "rb") as file:
        assert file.read() == CONTENT


def test_what_is_buffered_is_lost_when_closed(tmp_path):
    file = OutputFile(str(tmp_path / "new"))
    file.append(b"abc")

    file.close()
    file.close()

    assert (tmp_path / "new").read_bytes() == b""


@pytest.mark.parametrize("alignment", [1, 2, 7, 64, 4096])
def test_output_is_what_was_appended_whatever_the_sizes(tmp_path, alignment):
    file = OutputFile(str(tmp_path / "new"))
    expected = b""

    for size in (0, 1, 100, 262143, 262144, 262145, 5, 1_000_000, 3):
        chunk = (CONTENT * 2)[:size]
        offset = file.append(memoryview(chunk), alignment)
        assert offset == len(expected)
        expected += chunk + bytes(-(offset + size) % alignment)
        assert file.position == len(expected)
    file.finish(sync=False)

    assert (tmp_path / "new").read_bytes() == expected


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:70_000])))
    file = OutputFile(str(tmp_path / "new"))

    file.append(b"head")
    file.append(CONTENT)
    file.finish(sync=False)

    assert (tmp_path / "new").read_bytes() == b"head" + CONTENT


@pytest.mark.parametrize("sync", [False, True])
def test_output_is_made_durable_if_asked_to(tmp_path, monkeypatch, sync):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    file = OutputFile(str(tmp_path / "new"))

    file.finish(sync=sync)

    assert len(synced) == sync


# ---- stages
