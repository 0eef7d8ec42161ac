"""A checkpoint, a target, and the command line called in this process."""

import pytest
from command_line import TENSORS

import fastckpt
from fastckpt.cli import main as cli


@pytest.fixture
def source(tmp_path):
    prefix = tmp_path / "run" / "model.ckpt-7"
    fastckpt.write(prefix, TENSORS, sync=False)
    return str(prefix)


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out.ckpt")


@pytest.fixture
def call(capfd):
    """Run a command; return its exit status, standard output and standard error."""

    def run_command(*arguments):
        capfd.readouterr()
        status = cli.main(list(map(str, arguments)))
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run_command
