"""The source archive: every file of the repository, and nothing that a build left."""

import shutil
import subprocess
import sys
import tarfile
from email import message_from_bytes
from pathlib import Path

import pytest

import fastckpt

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["fastckpt", "csrc", "tests", "benchmarks", "docs", "examples", ".ci", ".github"]
AT_THE_ROOT = ["*.py", "*.md", "*.toml", "*.yml", "*.yaml", "*.cff", "LICENSE", "M*", ".clang*"]
IGNORED = [".git", ".venv*", ".*cache", ".hypothesis", "__pycache__", "*.so", "*.pyd", "*.egg-info"]
IGNORED += ["build", "dist", "site", "found"]
LEFT = [  # by builds and runs, in folders that the archive has whole
    "fastckpt/_module.cpython-311-x86_64-linux-gnu.so",
    "fastckpt/_module.cp311-win_amd64.pyd",
    "fastckpt/__pycache__/api.cpython-311.pyc",
    "build/cython-cpython-311/fastckpt/_module.c",
    "tests/c/build/run_tests.o",
    "tests/fuzz/found/crash-1",
    "benchmarks/.cache/model.index",
]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout in which something was built."""
    folder = tmp_path_factory.mktemp("sdist") / "checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*IGNORED))
    for name in LEFT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"left")
    return folder


@pytest.fixture(scope="module")
def archive(checkout):
    """{name: content} of the source archive, its top folder left out of the names."""
    dist = checkout.with_name("dist")
    command = [sys.executable, "-c", BUILD, str(dist)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (path,) = dist.iterdir()
    with tarfile.open(path) as file:
        return {
            member.name.partition("/")[2]: file.extractfile(member).read()
            for member in file.getmembers()
            if member.isfile()
        }


def test_archive_has_every_file(checkout, archive):
    paths = [path for folder in FOLDERS for path in (checkout / folder).rglob("*")]
    paths += [path for pattern in AT_THE_ROOT for path in checkout.glob(pattern)]
    names = {path.relative_to(checkout).as_posix() for path in paths if path.is_file()} - set(LEFT)

    assert {Path(name).suffix for name in names} >= {".pyx", ".pxd", ".pyi", ".py", ".c", ".h"}
    assert names - set(archive) == set()


def test_archive_has_nothing_that_a_build_left(archive):
    assert set(archive) & set(LEFT) == set()


def test_metadata_is_that_of_the_package(archive):
    metadata = message_from_bytes(archive["PKG-INFO"])

    assert metadata["Version"] == fastckpt.__version__
    assert sorted(metadata.get_all("Provides-Extra")) == ["cli", "convert", "pandas"]
    assert len(metadata.get_all("Project-URL")) >= 4
