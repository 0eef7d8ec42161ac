"""The protocols of byte sources and stores, and that local files keep them."""

import inspect

import pytest

from fastckpt.storage.local import LOCAL, File, LocalStore
from fastckpt.storage.output import OutputFile
from fastckpt.storage.source import ByteSink, ByteSource, Commit, Store
from fastckpt.storage.stage import Stage


@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [(ByteSource, File), (Store, LocalStore), (Commit, Stage), (ByteSink, OutputFile)],
)
def test_local_files_have_what_the_protocols_ask_for(protocol, implementation):
    names = [name for name in vars(protocol) if not name.startswith("_")]

    assert len(names) >= 2
    for name in names:
        wanted, found = getattr(protocol, name), getattr(implementation, name, None)
        if inspect.isfunction(wanted):
            parameters = inspect.signature(found).parameters
            assert set(inspect.signature(wanted).parameters) <= set(parameters), name


def test_store_of_local_files(tmp_path):
    path = str(tmp_path / "file")

    assert not LOCAL.exists(path)
    LOCAL.replace(path, b"content", sync=False)
    with LOCAL.stage(str(tmp_path / "last"), sync=False) as stage:
        stage.create(str(tmp_path / "first")).append(b"1")
        stage.commit_file.append(b"2")
        stage.commit(list)

    assert LOCAL.open(path).read(0, 7, "file") == b"content"
    assert LOCAL.exists(path) and not LOCAL.exists(str(tmp_path))
    assert LOCAL.list(str(tmp_path)) == ["file", "first", "last"]
    assert LOCAL.list(str(tmp_path / "gone")) == []
