"""The verbs that rescue: save what is whole of a broken checkpoint, end an interrupted save."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from .edit import check_free
from .output import Output

__all__ = [
    "complete",
    "complete_options",
    "discard",
    "discard_options",
    "salvage",
    "salvage_options",
]


def salvage_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a broken checkpoint: a prefix, one of its files, a folder")
    parser.add_argument("out", help="the prefix of the new checkpoint")
    parser.add_argument("-f", "--force", action="store_true", help="replace a checkpoint at OUT")


def salvage(args: Namespace, out: Output) -> int:
    """Exits with 1 if a tensor was lost."""
    from ..rescue.salvage import salvage as write

    check_free(args.out, args.force)
    report = write(args.path, args.out)
    out.emit({"out": args.out, **asdict(report)}, str(report).split("\n"))
    return 1 if report.lost or report.unreadable else 0


def complete_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="the prefix of the checkpoint that was being saved")


def complete(args: Namespace, out: Output) -> int:
    """Every byte that was staged is verified first."""
    from ..rescue.complete import complete as end

    return _report(args, out, "completed", end(args.path))


def discard_options(parser: ArgumentParser) -> None:
    complete_options(parser)


def discard(args: Namespace, out: Output) -> int:
    """A checkpoint that the save had put aside is brought back."""
    from ..rescue.complete import discard as end

    return _report(args, out, "discarded", end(args.path))


def _report(args: Namespace, out: Output, done: str, was_there: bool) -> int:
    text = f"{args.path}: {done}" if was_there else f"{args.path}: no save was interrupted"
    out.emit({"path": args.path, done: was_there}, [text])
    return 0
