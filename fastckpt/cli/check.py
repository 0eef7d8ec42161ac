"""The verbs that verify, diagnose and compare checkpoints."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from time import perf_counter

from ..text import count, spell_size
from .look import add_path
from .output import Output

# ---- verify


def verify_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("--threads", type=int, help="default: one per CPU, up to 8")


def verify(args: Namespace, out: Output) -> int:
    """Exits with 1 if a checksum does not match."""
    from ..paths.read import read

    begin = perf_counter()
    with read(args.path, backend="pread") as checkpoint, out.progress("verifying") as progress:
        found = checkpoint.problems(threads=args.threads, progress=progress)
        problems = [str(problem) for problem in found]
        tensors = len(checkpoint) if not problems else None
        size = sum(info.nbytes for info in checkpoint.infos()) if not problems else None
    seconds = perf_counter() - begin
    text = problems
    if tensors is not None and size is not None:
        speed = f"{spell_size(size / seconds)}/s" if seconds > 0 else "at once"
        text = [f"{count(tensors, 'tensor')}, {spell_size(size)}: all as written ({speed})"]
    document = {"path": args.path, "problems": problems, "tensors": tensors, "nbytes": size}
    out.emit(document, text)
    return 1 if problems else 0


# ---- doctor


def doctor_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="any file or folder")
    parser.add_argument("--verify", action="store_true", help="also read every byte")
    then = parser.add_mutually_exclusive_group()
    then.add_argument("--salvage", metavar="OUT", help="write every tensor that still verifies")
    then.add_argument("--complete", action="store_true", help="finish an interrupted save")
    then.add_argument("--discard", action="store_true", help="remove what an interrupted save left")
    parser.add_argument("-f", "--force", action="store_true", help="replace what is at OUT")


def doctor(args: Namespace, out: Output) -> int:
    """Exits with 1 if there is something to do. All options but --verify do it."""
    from . import rescue

    if args.salvage is not None:
        args.out = args.salvage
        return rescue.salvage(args, out)
    if args.complete or args.discard:
        return rescue.complete(args, out) if args.complete else rescue.discard(args, out)
    from ..rescue.doctor import doctor as examine

    diagnosis = examine(args.path, verify=args.verify)
    document = {**asdict(diagnosis), "is_healthy": diagnosis.is_healthy}
    out.emit(document, str(diagnosis).split("\n"))
    return 0 if diagnosis.is_healthy else 1


# ---- diff


def diff_options(parser: ArgumentParser) -> None:
    parser.add_argument("a", help="a checkpoint")
    parser.add_argument("b", help="another one")
    parser.add_argument("--values", action="store_true", help="read what differs by its checksum")
    parser.add_argument("--exhaustive", action="store_true", help="read every tensor of both")
    parser.add_argument("--rtol", type=float, default=0.0, help="relative tolerance")
    parser.add_argument("--atol", type=float, default=0.0, help="absolute tolerance")


def diff(args: Namespace, out: Output) -> int:
    """By the stored checksums alone, unless --values. Exits with 1 if something differs."""
    from ..analysis.diff import diff as compare

    values = args.values or bool(args.rtol or args.atol)
    found = compare(
        args.a,
        args.b,
        values=values,
        rtol=args.rtol,
        atol=args.atol,
        exhaustive=args.exhaustive,
    )
    document = {"is_same": found.is_same, **asdict(found)}
    document["renamed"] = [each._asdict() for each in found.renamed]
    out.emit(document, str(found).split("\n"))
    return 0 if found.is_same else 1


# ---- report


def report_options(parser: ArgumentParser) -> None:
    parser.add_argument("src", help="a checkpoint")
    parser.add_argument("out", help="the HTML file")
    parser.add_argument("--diff", metavar="OTHER", help="a checkpoint to compare with")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one per CPU, up to 8")
    parser.add_argument("-f", "--force", action="store_true", help="replace OUT")


def report(args: Namespace, out: Output) -> int:
    """Names, sizes, values, histograms and differences, for a browser. The page is one file that
    needs no network."""
    from ..analysis.report import report as write
    from ..paths.lookup import is_taken
    from ..storage.system import file_size
    from ..storage.urls import local_path

    if is_taken(args.out, as_file=True) and not args.force:
        raise FileExistsError(17, "file already exists (use --force to replace it)", args.out)
    with out.progress("reading") as progress:
        write(args.src, args.out, other=args.diff, threads=args.threads, progress=progress)
    size = file_size(local_path(args.out))
    out.emit({"written": args.out, "nbytes": size}, [f"{args.out}: {spell_size(size)}"])
    return 0
