"""The verbs that show tensors, statistics, graphs and state files."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..paths.listing import list_tensors
from ..text import count, printable, quote, spell_shape, spell_size
from .output import Output

if TYPE_CHECKING:
    from ..analysis.stats import Histogram, TensorStats
    from ..format._record import TensorInfo

_PATH_HELP: Final = "a prefix, one of its files, a folder, a SavedModel, or a V1 file"
_BARS: Final = " ▁▂▃▄▅▆▇█"
_SHOWN: Final = 1000  # elements that JSON has unless all are asked for
_ORDERS: Final = {
    "name": lambda info: 0,  # as they are
    "size": lambda info: -info.nbytes,
    "dtype": lambda info: info.tf_dtype,
}


def add_path(parser: ArgumentParser) -> None:
    """Add the path of a checkpoint to a verb's arguments."""
    parser.add_argument("path", help=_PATH_HELP)


def info_document(info: TensorInfo) -> dict[str, Any]:
    """Return the JSON document of a tensor."""
    return {
        "name": info.name,
        "dtype": info.tf_dtype,
        "shape": info.shape,
        "nbytes": info.nbytes,
        "shard": info.shard,
        "offset": info.offset,
        "crc32c": info.crc32c,
        "slices": len(info.slices),
    }


# ---- ls, tree


def ls_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("glob", nargs="*", help="names to list; * also crosses /")
    parser.add_argument("--sort", choices=list(_ORDERS), default="name")
    parser.add_argument("-r", "--reverse", action="store_true")
    parser.add_argument("--by", choices=["dtype", "prefix"], help="list totals, not tensors")
    parser.add_argument("--depth", type=int, default=1, help="parts of a prefix (default 1)")


def ls(args: Namespace, out: Output) -> int:
    """Names, dtypes, shapes and bytes, from the index alone."""
    import gc

    gc.disable()  # a hundred thousand rows are no garbage
    infos = list_tensors(args.path)
    if args.glob:
        infos = _matching(infos, args.glob)
    infos.sort(key=_ORDERS[args.sort])
    if args.reverse:
        infos.reverse()
    total = sum(info.nbytes for info in infos)
    totals = _totals(infos, args) if args.by else []
    if out.is_json:
        listed: dict[str, Any] = {"tensors": [info_document(info) for info in infos]}
        if args.by:
            keys = (args.by, "tensors", "nbytes")
            listed = {"totals": [dict(zip(keys, row, strict=True)) for row in totals]}
        out.emit({"path": args.path, **listed, "count": len(infos), "nbytes": total}, [])
        return 0
    if args.by:
        rows = [(key, f"{tensors:,}", spell_size(size)) for key, tensors, size in totals]
        out.table((args.by, "tensors", "size"), rows)
    else:
        out.table(
            ("name", "dtype", "shape", "size"),
            [(i.name, i.tf_dtype, spell_shape(i.shape), spell_size(i.nbytes)) for i in infos],
            left=2,
        )
    out.lines([f"{count(len(infos), 'tensor')}, {spell_size(total)}"])
    return 0


def _matching(infos: Iterable[TensorInfo], globs: Sequence[str]) -> list[TensorInfo]:
    """Return the tensors that match any of the globs. An existing name matches itself, even with
    brackets in it."""
    from fnmatch import translate

    pattern = re.compile("|".join(translate(glob) for glob in globs))
    chosen = set(globs)
    found = [info for info in infos if info.name in chosen or pattern.match(info.name)]
    if not found:
        raise ValueError(f"no tensor matches {' or '.join(map(repr, globs))}")
    return found


def _totals(infos: Iterable[TensorInfo], args: Namespace) -> list[tuple[str, int, int]]:
    """Return (dtype or prefix, tensors, bytes), the largest first."""
    tensors: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for info in infos:
        key = info.tf_dtype
        if args.by == "prefix":
            key = "/".join(info.name.split("/")[: max(1, args.depth)])
        tensors[key] += 1
        sizes[key] += info.nbytes
    return [(key, tensors[key], sizes[key]) for key in sorted(sizes, key=lambda k: (-sizes[k], k))]


def tree_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("--depth", type=int, help="levels to print (default: all)")


def tree(args: Namespace, out: Output) -> int:
    """Names are split at "/"; each level has the size of all below it."""
    from ..paths.listing import tree as make_tree

    made = make_tree(args.path)
    if out.is_json:
        out.emit(_tree_document(made), [])
    else:
        out.lines(made.lines(args.depth))
    return 0


def _tree_document(node: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"name": node.name, "nbytes": node.nbytes, "tensors": node.count}
    if node.tensor is not None:
        document["tensor"] = info_document(node.tensor)
    if node.children:
        document["children"] = [_tree_document(child) for child in node.children.values()]
    return document


# ---- show, stats


def show_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("name", help="a tensor, or a part of it: 'NAME[0:3, :]'")
    parser.add_argument("--all", action="store_true", help="every element, however many")


def show(args: Namespace, out: Output) -> int:
    """The tensor is verified first, also for a part. Quote brackets for the shell."""
    import numpy as np

    from ..analysis.stats import summarize
    from ..paths.read import read

    with read(args.path, verify=True) as checkpoint:
        name, index = _split_index(args.name, checkpoint)
        info = checkpoint.info(name)
        if info.tf_dtype in ("variant", "resource"):
            raise ValueError(f"tensor {name!r}: a {info.tf_dtype} has no values to show")
        handle = checkpoint.get_slice(name)
        array = np.asarray(handle[...] if index is None else handle[index])
        summary = summarize(array, info.tf_dtype)
        if out.is_json:
            is_whole = args.all or array.size <= _SHOWN
            document = {**info_document(info), "index": args.name[len(name) :] or None}
            document |= {"values": array if is_whole else None, "stats": summary}
            out.emit(document, [])
            return 0
        limit = array.size + 1 if args.all else _SHOWN
        text = np.array2string(array, threshold=limit, separator=", ", max_line_width=100)
        out.lines([f"{name}: {info.tf_dtype} {spell_shape(info.shape)}, {spell_size(info.nbytes)}"])
        out.lines(text.split("\n"))
        out.lines(_describe(summary))
    return 0


def _split_index(text: str, checkpoint: Any) -> tuple[str, Any]:
    """Return the name and the index of ``NAME[0:3, :]``; a name may have brackets itself."""
    match = re.fullmatch(r"(.+)\[([^\[\]]*)\]", text, re.DOTALL)
    if text in checkpoint or match is None:
        return text, None
    return match[1], tuple(_parse_index(part.strip()) for part in match[2].split(","))


def _parse_index(text: str) -> Any:
    if text == "...":
        return ...
    try:
        if ":" not in text:
            return int(text)
        return slice(*(int(part) if part.strip() else None for part in text.split(":")))
    except (ValueError, TypeError) as error:
        problem = f"expected integers, slices and ..., as in 'NAME[0:3, :]', got {text!r}"
        raise ValueError(f"index: {problem}") from error


def _describe(summary: TensorStats) -> Iterator[str]:
    if summary.min is not None:
        numbers = {key: getattr(summary, key) for key in ("min", "max", "mean", "std")}
        yield "  ".join(f"{key} {_spell_number(value)}" for key, value in numbers.items())
    yield f"NaN {summary.nans}  Inf {summary.infs}  zeros {summary.zeros}  of {summary.count}"
    if summary.histogram is not None:
        yield _draw(summary.histogram)


def _draw(histogram: Histogram) -> str:
    top = max(histogram.counts) or 1
    # rounded up, so that only an empty bin is blank
    heights = (-(-each * (len(_BARS) - 1) // top) for each in histogram.counts)
    low, high = _spell_number(histogram.low), _spell_number(histogram.high)
    return f"{low} |{''.join(_BARS[height] for height in heights)}| {high}"


def _spell_number(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def stats_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("glob", nargs="*", help="names; * also crosses /")
    parser.add_argument("--threads", type=int, help="default: one per CPU, up to 8")
    parser.add_argument("--check", action="store_true", help="exit with 1 if there is a NaN or Inf")


def stats(args: Namespace, out: Output) -> int:
    """Min, max, mean and standard deviation of the finite values; counts of NaNs and infinities.
    For strings these describe the lengths, for complex numbers the magnitudes. Exits with 1 if a
    tensor is damaged; the others are printed."""
    from ..analysis.stats import stats as compute
    from ..errors import ChecksumError
    from ..paths.read import read

    infos = list_tensors(args.path)
    names = [info.name for info in (_matching(infos, args.glob) if args.glob else infos)]
    damaged: dict[str | None, str] = {}
    with out.progress("reading") as progress:
        try:
            found = compute(args.path, names, threads=args.threads, progress=progress)
        except ChecksumError:
            with read(args.path, backend="pread") as checkpoint:
                for each in checkpoint.problems():
                    if isinstance(each, OSError):
                        raise each from None
                    damaged[each.tensor] = str(each)
            whole = [name for name in names if name not in damaged]
            found = compute(args.path, whole, threads=args.threads)
    is_bad = any(each.nans or each.infs for each in found.values())
    asked = set(names)
    problems = [text for name, text in damaged.items() if name in asked]
    if out.is_json:
        document = {"path": args.path, "tensors": list(found.values()), "problems": problems}
        out.emit(document, [])
    else:
        for text in problems:
            print(printable(text), file=sys.stderr)
        header = ("name", "dtype", "shape", "min", "max", "mean", "std", "NaN", "Inf", "zeros")
        out.table(header, [_stats_row(each) for each in found.values()], left=2)
    return 1 if problems or (args.check and is_bad) else 0


def _stats_row(each: TensorStats) -> tuple[str, ...]:
    numbers = (_spell_number(value) for value in (each.min, each.max, each.mean, each.std))
    counts = (str(value) for value in (each.nans, each.infs, each.zeros))
    return (each.name, each.dtype, spell_shape(each.shape), *numbers, *counts)


# ---- state, meta, objects


def state_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a folder, or its state file")
    parser.add_argument(
        "--repair", action="store_true", help="rewrite it from the checkpoints that exist"
    )


def state(args: Namespace, out: Output) -> int:
    """The `checkpoint` file names the latest checkpoint of a folder. Exits with 1 if a checkpoint
    that it names is missing, or if the latest is not whole."""
    from ..paths.listing import has_its_files
    from ..paths.lookup import is_there
    from ..paths.state import get_checkpoint_state, split_state_path

    folder, name = split_state_path(args.path)
    if args.repair:
        from ..rescue.state import repair_state

        repair_state(folder)
    found = get_checkpoint_state(folder, name)
    if found is None:
        raise FileNotFoundError(2, "no state file", os.path.join(folder, name))
    paths = found.all_model_checkpoint_paths or (found.model_checkpoint_path,)
    times = found.all_model_checkpoint_timestamps or (None,) * len(paths)
    named = dict.fromkeys([found.model_checkpoint_path, *paths])
    missing = {path for path in named if not is_there(path)}
    listed = [
        {"path": path, "exists": path not in missing, "timestamp": time}
        for path, time in zip(paths, times, strict=False)
    ]
    latest = found.model_checkpoint_path
    is_broken = latest not in missing and not has_its_files(latest)
    text = [f"latest: {latest}{_MARKS[latest in missing, is_broken]}"]
    text += [f"  {each['path']}{'' if each['exists'] else '  (missing)'}" for each in listed]
    if missing:
        text.append(
            f"to drop what is missing: fastckpt state --repair {quote(folder or os.curdir)}"
        )
    if is_broken:
        text.append("the latest lacks files or parts of files: fastckpt doctor says which")
    facts = {"latest": latest, "checkpoints": listed, "missing": sorted(missing)}
    out.emit({**facts, "latest_is_whole": not (is_broken or latest in missing)}, text)
    return 1 if missing or is_broken else 0


_MARKS: Final = {(False, False): "", (True, False): "  (missing)", (False, True): "  (broken)"}


def meta_options(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a .meta file, the prefix of one, or a SavedModel")
    parser.add_argument("--nodes", action="store_true", help="list every node")


def meta(args: Namespace, out: Output) -> int:
    """Variables, kinds of nodes, collections, signatures and the saver of a graph."""
    from ..paths.meta import read_meta

    graph = read_meta(args.path)
    operations = Counter(node.op for node in graph.nodes)
    variables = [
        {
            "name": each.name,
            "checkpoint_name": each.checkpoint_name,
            "dtype": each.dtype,
            "shape": each.shape,
            "trainable": each.trainable,
        }
        for each in graph.variables
    ]
    if out.is_json:
        document: dict[str, Any] = {"path": args.path, "variables": variables, "ops": operations}
        document["collections"] = {key: len(each) for key, each in graph.collections.items()}
        document["signatures"] = {key: str(each) for key, each in graph.signatures.items()}
        if args.nodes:
            document["nodes"] = [
                {"name": n.name, "op": n.op, "inputs": n.inputs, "device": n.device}
                for n in graph.nodes
            ]
        out.emit(document, [])
        return 0
    out.lines([f"{count(len(graph.nodes), 'node')}, {count(len(variables), 'variable')}"])
    if args.nodes:
        rows = [(node.name, node.op, " ".join(node.inputs)) for node in graph.nodes]
        out.table(("node", "op", "inputs"), rows, left=3)
        return 0
    if variables:
        rows = [(v.checkpoint_name, str(v.dtype), _spell(v.shape)) for v in graph.variables]
        out.table(("variable", "dtype", "shape"), rows, left=2)
    out.table(("op", "nodes"), [(op, str(number)) for op, number in operations.most_common(10)])
    for title, values in (("collection", graph.collections), ("signature", graph.signatures)):
        if values:
            out.lines([f"{title}s: {', '.join(values)}"])
    return 0


def _spell(shape: Sequence[int | None] | None) -> str:
    return "?" if shape is None else spell_shape(shape)


def objects_options(parser: ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument("--variables", action="store_true", help="readable names and tensors only")


def objects(args: Namespace, out: Output) -> int:
    """The tree of objects that tf.train.Checkpoint or Keras saved, and their readable names."""
    from ..paths.read import read

    with read(args.path) as checkpoint:
        graph = checkpoint.object_graph
        variables = checkpoint.variables
    if out.is_json:
        out.emit({"path": args.path, "has_graph": graph is not None, "variables": variables}, [])
    elif graph is None:
        out.lines([f"{args.path}: no object graph; it has tensor names only"])
    elif args.variables:
        out.table(("variable", "tensor"), list(variables.items()), left=2)
    else:
        out.lines(str(graph).split("\n"))
    return 0
