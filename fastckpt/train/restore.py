"""Partial restore: which tensor goes to which variable, all or nothing, and a report of it.

Shapes and dtypes are compared before any data is read. Then all tensors are read and verified,
as views of the files where there are views, and only then is the first variable assigned. So an
error changes nothing, and there is no second copy of the model in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..checkpoint import Checkpoint
from ..errors import TensorNotFoundError, suggest
from ..format._record import TensorInfo
from ..paths.read import read
from ..rules import Filter, make_renamer
from ..text import name_some, section, spell_size
from .fetch import read_tensors
from .variables import Variable, named_variables, restore_all

if TYPE_CHECKING:
    from ..rules import Rename

__all__ = ["Mismatch", "RestoreReport", "restore"]

# What TensorFlow keeps in an object-based checkpoint beside the variables of the model.
_INTERNAL: Final = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
_SHOWN: Final = 5  # names of each sort, in reports and errors


class Mismatch(NamedTuple):
    """A variable that its tensor does not fit; `expected` is what the variable is."""

    name: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.name!r}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What `restore` did, and did not.

    `restored` and `missing` are names of variables: those that were assigned, and those that
    have no tensor. `mismatched` are those whose tensor has another shape or dtype. `unused` are
    the tensors that no variable took, as the checkpoint names them (by readable path, if it is
    object-based). `nbytes` is the size of what was restored.
    """

    restored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    nbytes: int = 0

    def __str__(self) -> str:
        unused = sorted(self.unused)

        def hint(name: str) -> str:
            closest = suggest(name, unused, limit=1)
            return f"{name}  (did you mean {closest[0]!r}?)" if closest else name

        sections: tuple[tuple[str, str, Sequence[Any], Callable[[Any], str]], ...] = (
            ("restored", spell_size(self.nbytes), self.restored, str),
            ("missing", "no tensor of that name", self.missing, hint),
            ("mismatched", "another dtype or shape", self.mismatched, str),
            ("unused", "tensors that no variable took", self.unused, str),
        )
        lines: list[str] = []
        for title, meaning, entries, spell in sections:
            heading = f"{title:10} {len(entries):6}  ({meaning})"
            lines += section(heading, entries, _SHOWN, spell)
        return "\n".join(lines)


def restore(
    target: object,
    path: str | os.PathLike[str] | Checkpoint,
    *,
    rename: Rename | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    strict: bool = True,
    reshape: bool = False,
    cast: bool = False,
) -> RestoreReport:
    """Restore the variables of `target` from a checkpoint, in place: all of them or none.

    `target` is what `fastckpt.train.Saver` takes: a mapping of names to arrays or variables, a
    list of variables, or a Keras or PyTorch model. `path` is what `read` takes, or an open
    checkpoint. A tensor goes to the variable of its name; in an object-based checkpoint it has
    two names, the readable path ("model/dense/kernel") and its key.

    `rename` says what a tensor of the checkpoint is called in `target`: a dict {name in the
    checkpoint: name in the target}, a list of (regex, replacement) that `re.sub` applies one
    after the other, or a function of the name. None in place of a name leaves the tensor out. A
    tensor that is renamed to a name comes before one that always had it.

    `include` and `exclude` are globs, one or several, over the names in `target`; "*" also
    crosses "/", and "[" is a glob's, too. Variables that they leave out are neither changed nor
    reported, and tensors of such names are not reported as unused.

    With `strict` there must be variables, every one must have a tensor that fits, and every glob
    of `include` must match; otherwise variables without one stay as they are. Tensors that no
    variable wants are never an error, since a training checkpoint always has more than the model:
    they are in the report. A tensor fits if shape and dtype are equal; `reshape` lets it have
    another shape with as many elements, `cast` a dtype that NumPy casts by its rule "same_kind".

    Whatever is raised is raised before the first variable changes, without `strict`, too:
    `TensorNotFoundError` for a variable without a tensor, `ValueError` for one that does not
    fit or cannot be written and for two tensors renamed to one variable, what `read` raises, and
    `ChecksumError`, since every tensor is verified. Values that are replaced are never views.
    """
    is_chosen = Filter(include, exclude)
    named = named_variables(target)
    variables = {name: each for name, each in named.items() if is_chosen(name)}
    if strict:
        is_chosen.check_include(variables)
    owner = nullcontext(path) if isinstance(path, Checkpoint) else read(path, verify=True)
    with owner as checkpoint:
        offers = _list_offers(checkpoint, make_renamer(rename))
        keys = _match(checkpoint, offers, variables)
        fitting, mismatched = _compare(checkpoint, keys, variables, reshape, cast)
        report = RestoreReport(
            restored=tuple(fitting),
            missing=tuple(name for name in variables if name not in keys),
            unused=tuple(_unused(offers, set(keys.values()), is_chosen)),
            mismatched=tuple(mismatched),
            nbytes=sum(info.nbytes for info in fitting.values()),
        )
        if strict:
            _check_complete(checkpoint.path, named, report)
        # views do, if the checkpoint verifies what it gives views of
        copy = None if getattr(checkpoint, "verify_on_access", False) else True
        arrays = read_tensors(checkpoint, (info.name for info in fitting.values()), copy=copy)
        chosen = (variables[name] for name in fitting)
        restore_all(zip(chosen, arrays, strict=True), reshape=reshape, cast=cast)
    return report


class _Offer(NamedTuple):
    """A tensor: its key, the name that it goes by, and the name that a variable would have."""

    key: str
    source: str
    name: str


def _list_offers(checkpoint: Checkpoint, rename: Callable[[str], str | None]) -> list[_Offer]:
    paths: Mapping[str, str] = getattr(checkpoint, "variables", None) or {}
    readable = {key: path for path, key in paths.items()}
    offers = []
    for key in checkpoint:
        source = readable.get(key, key)
        name = rename(source)
        if name == source != key:  # a rule may know it by its key
            by_key = rename(key)
            name = source if by_key == key else by_key
        if name is None:
            continue
        if not isinstance(name, str):
            raise TypeError(f"rename: expected a name or None for {source!r}, got {name!r}")
        offers.append(_Offer(key, source, name))
    return offers


def _match(
    checkpoint: Checkpoint, offers: Iterable[_Offer], variables: Mapping[str, Variable]
) -> dict[str, str]:
    """Return the tensor's key for each variable that has one, in the target's order."""
    found: dict[str, str] = {}
    renamed: dict[str, _Offer] = {}
    for offer in offers:
        if offer.name == offer.source:
            found[offer.key] = found[offer.name] = offer.key
        elif offer.name in variables:
            other = renamed.setdefault(offer.name, offer)
            if other is not offer:
                raise ValueError(
                    f"{checkpoint.path}: tensors {other.source!r} and {offer.source!r} are both "
                    f"renamed to {offer.name!r}"
                )
    found.update((name, offer.key) for name, offer in renamed.items())
    return {name: found[name] for name in variables if name in found}


def _compare(
    checkpoint: Checkpoint,
    keys: Mapping[str, str],
    variables: Mapping[str, Variable],
    reshape: bool,
    cast: bool,
) -> tuple[dict[str, TensorInfo], list[Mismatch]]:
    fitting, mismatched = {}, []
    for name, key in keys.items():
        info, variable = checkpoint.info(key), variables[name]
        fault = variable.mismatch(info.dtype, info.shape, reshape=reshape, cast=cast)
        if fault is None:
            fitting[name] = info
        else:
            got = f"dtype {info.tf_dtype} and shape {info.shape}"
            mismatched.append(Mismatch(name, fault[0], got))
    return fitting, mismatched


def _unused(
    offers: Iterable[_Offer], used: set[str], is_chosen: Callable[[str], bool]
) -> Iterator[str]:
    for offer in offers:
        if offer.key not in used and offer.key not in _INTERNAL and is_chosen(offer.name):
            yield offer.source


def _check_complete(path: str, named: Mapping[str, Variable], report: RestoreReport) -> None:
    """Raise what `strict` raises for a report, with the first few names that it concerns."""
    if not named:
        raise ValueError(
            f"{path}: expected a target with variables, got none (a Keras model has none until it "
            "is built; strict=False restores nothing into it)"
        )
    if report.missing:
        first, *others = report.missing
        error = TensorNotFoundError(path, first, lambda: sorted(report.unused))
        if others:
            error.problem += f", nor are {name_some(others, _SHOWN, spell=str)}"
        raise error
    if report.mismatched:
        mismatched = name_some(report.mismatched, _SHOWN, spell=str, separator="; ")
        raise ValueError(f"{path}: variable {mismatched}")
