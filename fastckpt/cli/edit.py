"""The verbs that write a new checkpoint from one or several others.

Without --force they refuse to replace a checkpoint. With it they commit as every save does: the old
checkpoint stays until the new one is complete, and its open readers go on reading it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any, Final

from ..errors import TensorNotFoundError
from ..paths.listing import list_tensors
from ..paths.lookup import is_taken
from ..text import count, spell_size
from .output import Output

_SRC: Final = "a checkpoint: a prefix, one of its files, a folder, a SavedModel, or a V1 file"
_DST: Final = "the prefix of the new checkpoint"


def check_free(dst: str, force: bool) -> None:
    """Raise `FileExistsError` if there is a checkpoint at `dst`, unless `force` is set."""
    if is_taken(dst) and not force:
        raise FileExistsError(17, "checkpoint already exists (use --force to replace it)", dst)


def _add_force(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="replace what is at DST")


def _add_paths(parser: ArgumentParser, *, shares: bool = False) -> None:
    parser.add_argument("src", help=_SRC)
    parser.add_argument("dst", help=_DST)
    _add_force(parser)
    if shares:
        help = "give the result data files of its own, not hard links"
        parser.add_argument("--copy", action="store_true", help=help)


def _finish(out: Output, dst: str) -> int:
    """Report the checkpoint that was written."""
    infos = list_tensors(dst)
    size = sum(info.nbytes for info in infos)
    document = {"written": dst, "tensors": len(infos), "nbytes": size}
    out.emit(document, [f"{dst}: {count(len(infos), 'tensor')}, {spell_size(size)}"])
    return 0


# ---- rename


def _add_rules(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--map", action="append", default=[], metavar="OLD=NEW", help="one name; repeatable")
    add("--map-file", metavar="FILE", help="names: a JSON object, or lines of OLD, a tab, NEW")
    add("--regex", nargs=2, action="append", default=[], metavar=("PATTERN", "REPLACEMENT"))
    add("--drop-prefix", metavar="P", help="remove this prefix from names that have it")
    add("--add-prefix", metavar="P", help="prepend this to every name")


class _Rules:
    """The renaming function that the options define, applied in the order of --help. The other
    rules do not change a name that --map has. `unmet` are the mapped names not seen so far."""

    def __init__(self, args: Namespace) -> None:
        from ..rules import make_renamer

        self._exact = dict(_read_map(args.map_file) if args.map_file else [])
        self._exact.update(_split_pair(pair, "OLD=NEW") for pair in args.map)
        self._by_regex = make_renamer(args.regex)
        self._drop, self._add = args.drop_prefix or "", args.add_prefix or ""
        self.is_empty = not (self._exact or args.regex or self._drop or self._add)
        self.unmet = set(self._exact)

    def __call__(self, name: str) -> str:
        if name in self._exact:
            self.unmet.discard(name)
            return self._exact[name]
        new = self._by_regex(name) or ""
        return self._add + new.removeprefix(self._drop)


def _split_pair(text: str, form: str) -> tuple[str, str]:
    left, sign, right = text.partition("=")
    if not (left and sign and right):
        raise ValueError(f"expected {form}, got {text!r}")
    return left, right


def _read_map(path: str) -> Iterator[tuple[str, str]]:
    import json

    from ..storage.system import read_text

    text = read_text(path)
    if text.lstrip().startswith("{"):
        for old, new in json.loads(text).items():
            if not isinstance(new, str):
                raise ValueError(f"{path}: expected a name for {old!r}, got {new!r}")
            yield old, new
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            old, tab, new = line.partition("\t")
            if not (old and tab and new):
                raise ValueError(f"{path}: line {number}: expected OLD, a tab, NEW, got {line!r}")
            yield old, new


def rename_options(parser: ArgumentParser) -> None:
    _add_paths(parser, shares=True)
    _add_rules(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the names, write nothing")


def rename(args: Namespace, out: Output) -> int:
    """Only a new index is written; the data files are shared by hard link."""
    from ..edit.rename import rename as write

    names = [info.name for info in list_tensors(args.src)]
    rules = _Rules(args)
    if rules.is_empty:
        raise ValueError("no rule: give --map, --map-file, --regex, --drop-prefix or --add-prefix")
    pairs = [(name, rules(name)) for name in names]
    for name in sorted(rules.unmet):
        raise TensorNotFoundError(args.src, name, lambda: names)
    if args.dry_run:
        changed = [(old, new) for old, new in pairs if old != new]
        text = [f"{old} -> {new}" for old, new in changed]
        text.append(f"{count(len(changed), 'name')} of {len(names)}")
        out.emit({"renamed": dict(changed)}, text)
        return 0
    check_free(args.dst, args.force)
    write(args.src, args.dst, rules, link=not args.copy)
    return _finish(out, args.dst)


# ---- subset, alias, merge, align


def subset_options(parser: ArgumentParser) -> None:
    _add_paths(parser, shares=True)
    repeatable: dict[str, Any] = {"action": "append", "metavar": "GLOB"}
    parser.add_argument("--include", help="names to keep; * also crosses /", **repeatable)
    parser.add_argument("--exclude", help="names to leave out", **repeatable)
    help = "leave out the tensors that only an optimizer needs"
    parser.add_argument("--drop-optimizer", action="store_true", help=help)


def subset(args: Namespace, out: Output) -> int:
    """Only a new index is written; data files without a remaining tensor are left out. With --copy
    the new data files have only the bytes of the remaining tensors."""
    from ..edit.rename import rename as write

    if not (args.include or args.exclude or args.drop_optimizer):
        raise ValueError("nothing to choose by: give --include, --exclude or --drop-optimizer")
    check_free(args.dst, args.force)
    from ..paths.read import read

    with read(args.src) as checkpoint:
        dropped = _dropped(args, checkpoint)
        write(checkpoint, args.dst, lambda n: None if n in dropped else n, link=not args.copy)
    return _finish(out, args.dst)


def _dropped(args: Namespace, checkpoint: Any) -> set[str]:
    """Return the names to leave out. As in `fastckpt.subset`, the object graph is left out only if
    --exclude says so."""
    from ..graph.objects import GRAPH_KEY
    from ..rules import match_globs

    names = list(checkpoint)
    dropped: set[str] = set()
    if args.include:
        dropped = set(names) - match_globs("--include", args.include, names) - {GRAPH_KEY}
    if args.drop_optimizer:
        from ..analysis.optimizer import list_optimizer_names

        dropped |= set(list_optimizer_names(checkpoint))
    if args.exclude:
        dropped |= match_globs("--exclude", args.exclude, names)
    return dropped


def alias_options(parser: ArgumentParser) -> None:
    _add_paths(parser, shares=True)
    parser.add_argument("names", nargs="+", metavar="NEW=OLD")


def alias(args: Namespace, out: Output) -> int:
    """Both names lead to the same bytes."""
    from ..edit.rename import alias as write

    check_free(args.dst, args.force)
    names = dict(_split_pair(pair, "NEW=OLD") for pair in args.names)
    write(args.src, args.dst, names, link=not args.copy)
    return _finish(out, args.dst)


def merge_options(parser: ArgumentParser) -> None:
    parser.add_argument("src", nargs="+", help="checkpoints with tensors of different names")
    parser.add_argument("dst", help=_DST)
    _add_force(parser)


def merge(args: Namespace, out: Output) -> int:
    """Only a new index is written; the data files of all sources are shared by hard link."""
    from ..bundle.merge import merge as write
    from ..paths.read import read

    check_free(args.dst, args.force)
    prefixes = []
    for src in args.src:
        with read(src) as checkpoint:
            if checkpoint.format != "V2":
                problem = "a version 1 checkpoint cannot be merged; 'fastckpt align' makes it V2"
                raise ValueError(f"{src}: {problem}")
            prefixes.append(checkpoint.path)
    write(prefixes, args.dst)
    return _finish(out, args.dst)


def align_options(parser: ArgumentParser) -> None:
    _add_paths(parser, shares=True)
    parser.add_argument("--alignment", type=int, default=64, metavar="BYTES", help="default: 64")


def align(args: Namespace, out: Output) -> int:
    """If every tensor is aligned already, the data files are shared by hard link; otherwise they
    are rewritten. An alignment of 1 packs them as TensorFlow does."""
    from ..edit.rename import align as write

    check_free(args.dst, args.force)
    with out.progress("writing") as progress:
        write(args.src, args.dst, args.alignment, link=not args.copy, progress=progress)
    return _finish(out, args.dst)


# ---- reshard, average, cast, convert


def reshard_options(parser: ArgumentParser) -> None:
    _add_paths(parser)
    parser.add_argument("num_shards", type=int, metavar="N", help="number of data files")
    parser.add_argument("--alignment", type=int, default=64, metavar="BYTES", help="default: 64")


def reshard(args: Namespace, out: Output) -> int:
    """Bytes are copied and verified."""
    from ..edit.rename import reshard as write

    check_free(args.dst, args.force)
    with out.progress("writing") as progress:
        write(args.src, args.dst, args.num_shards, alignment=args.alignment, progress=progress)
    return _finish(out, args.dst)


def average_options(parser: ArgumentParser) -> None:
    parser.add_argument("src", nargs="+", help="checkpoints, or with --last one folder")
    parser.add_argument("dst", help=_DST)
    parser.add_argument("--last", type=int, metavar="N", help="the newest N of its state file")
    parser.add_argument("--weights", metavar="W,W,...", help="one per checkpoint")
    _add_force(parser)


def average(args: Namespace, out: Output) -> int:
    """Sums are computed in float64 and rounded once; dtypes stay. Tensors that are not
    floating-point or complex are copied from the last checkpoint."""
    from ..edit.average import average as write

    check_free(args.dst, args.force)
    srcs = args.src if args.last is None else _last(args.src, args.last)
    weights = [float(each) for each in args.weights.split(",")] if args.weights else None
    with out.progress("averaging") as progress:
        write(srcs, args.dst, weights=weights, progress=progress)
    return _finish(out, args.dst)


def _last(folders: list[str], number: int) -> list[str]:
    """Return the newest checkpoints of a folder, by its state file."""
    from ..paths.state import get_checkpoint_state

    if number < 1 or len(folders) != 1:
        raise ValueError("--last N: expected a number of 1 or more, and one folder")
    state = get_checkpoint_state(folders[0])
    if state is None:
        raise FileNotFoundError(2, "no state file in that folder", folders[0])
    paths = list(state.all_model_checkpoint_paths) or [state.model_checkpoint_path]
    if len(paths) < number:
        raise ValueError(f"{folders[0]}: expected {number} checkpoints, got {len(paths)}")
    return paths[-number:]


def cast_options(parser: ArgumentParser) -> None:
    _add_paths(parser)
    help = "bfloat16, or '*/kernel=float16'"
    parser.add_argument("dtypes", nargs="+", metavar="DTYPE|GLOB=DTYPE", help=help)


def cast(args: Namespace, out: Output) -> int:
    """A glob changes only tensors of the kind of its dtype: floating-point to floating-point,
    integers to integers. A value that the new dtype cannot hold is an error."""
    from ..edit.cast import cast as write

    check_free(args.dst, args.force)
    pairs = (each.rpartition("=") for each in args.dtypes)
    dtypes = {glob or "*": dtype for glob, _, dtype in pairs}
    with out.progress("casting") as progress:
        write(args.src, args.dst, dtypes, progress=progress)
    return _finish(out, args.dst)


def convert_options(parser: ArgumentParser) -> None:
    parser.add_argument("src", help="a checkpoint, .npz, .safetensors, .h5 or .zarr")
    parser.add_argument("dst", help="a prefix, or a file of another format by its suffix")
    parser.add_argument("--format", help="of DST: checkpoint, npz, safetensors, hdf5 or zarr")
    repeatable: dict[str, Any] = {"action": "append", "metavar": "GLOB"}
    parser.add_argument("--include", help="names to convert; * also crosses /", **repeatable)
    parser.add_argument("--exclude", help="names to leave out", **repeatable)
    parser.add_argument(
        "--names", choices=["readable", "keys"], help="of an object-based checkpoint"
    )
    _add_force(parser)
    _add_rules(parser)


def convert(args: Namespace, out: Output) -> int:
    """Converts tensor by tensor, exact to the bit. A tensor that the format cannot hold is an
    error. Exits with 1 if --map names a tensor that does not exist."""
    from ..interop.convert import convert as write

    if is_taken(args.dst, as_file=True) and not args.force:
        raise FileExistsError(17, "file already exists (use --force to replace it)", args.dst)
    rules = _Rules(args)
    options = {name: getattr(args, name) for name in ("format", "include", "exclude", "names")}
    with out.progress("converting") as progress:
        write(args.src, args.dst, rename=rules, progress=progress, **options)
    text = [f"wrote {args.dst}", *(f"no tensor is called {name!r}" for name in sorted(rules.unmet))]
    out.emit({"written": args.dst, "not_there": sorted(rules.unmet)}, text)
    return 1 if rules.unmet else 0
