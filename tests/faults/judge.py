"""What must be true of a folder whenever it is looked at."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

import fastckpt
from fastckpt import train
from fastckpt.bundle.names import strip_suffix
from fastckpt.storage.staged import split_staged

from .layer import strike
from .saves import Save

ABSENT = "absent"
FOREIGN = (".npz", ".safetensors", ".h5", ".zarr")
FAULTY = "faulty: "


def look(path: Path) -> str:
    """Return what somebody finds at a path: a digest of the values, `ABSENT`, or what is wrong."""
    if path.name == "checkpoint":
        return _look_at_state(path)
    if path.suffix in (*FOREIGN, ".meta"):
        return _digest_files(path)
    is_there = os.path.lexists(f"{path}.index") or path.name.startswith("v1")
    try:
        tensors = fastckpt.load(path)
    except FileNotFoundError as error:
        is_there &= os.path.lexists(f"{path}.index") or path.exists()
        return f"{FAULTY}{error}" if is_there else ABSENT
    except (fastckpt.CheckpointError, OSError) as error:
        return f"{FAULTY}{type(error).__name__}: {error}"
    digest = hashlib.sha256()
    for name, array in tensors.items():
        content = array.tolist() if array.dtype == np.object_ else array.tobytes()
        digest.update(repr((name, array.dtype.str, array.shape, content)).encode())
    return digest.hexdigest()


def _look_at_state(path: Path) -> str:
    """Return the latest checkpoint of a state file: the list of all is written twice by a manager,
    before and after it deletes one."""
    try:
        state = train.get_checkpoint_state(path.parent)
    except (fastckpt.CheckpointError, OSError) as error:
        return f"{FAULTY}{type(error).__name__}: {error}"
    if state is None:
        return ABSENT
    return state.model_checkpoint_path


def _digest_files(path: Path) -> str:
    if not path.exists():
        return ABSENT
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        digest.update(os.fsencode(each.relative_to(path)))
        digest.update(each.read_bytes() if each.is_file() else b"/")
    return digest.hexdigest()


def targets(folder: Path) -> set[str]:
    """Return the names of the checkpoints and other results in a folder and its subfolders."""
    found = set()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if split_staged(name) or ".tmp-" in name or ".zarr" in os.path.dirname(name):
            continue
        if name.endswith(".index"):
            found.add(name.removesuffix(".index"))
        elif path.name == "checkpoint" or path.suffix in (*FOREIGN, ".meta"):
            found.add(name)
        elif path.name.startswith("v1"):
            parts = name.rpartition("-of-")
            found.add(f"{parts[0][:-6]}-?????-of-{parts[2]}" if parts[1] else name)
    return {each for each in found if strip_suffix(each) is None or each.endswith(".meta")}


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the files that are not staged."""
    files = {str(each.relative_to(folder)): each for each in folder.rglob("*") if each.is_file()}
    return {name: each.read_bytes() for name, each in files.items() if not split_staged(name)}


def leftovers(folder: Path) -> list[str]:
    """Return the names of what was staged and not renamed."""
    found = (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    return [name for name in found if split_staged(name)]


class Judge:
    """Knows a save from before and after, and finds fault with what is between.

    `folder` is where all of it happens: absolute paths in state files stay right. `base` is a copy
    of how it was before. With `reorders`, a checkpoint that is being removed may be broken, as
    long as reading it is an error.
    """

    def __init__(self, save: Save, folder: Path) -> None:
        self.save = save
        self.folder = folder
        self.base = folder.with_name("base")
        self._spare = folder.with_name("spare")
        for name in save.needs:
            import_module(name)
        folder.mkdir(parents=True)
        strike(folder, save.prepare)
        copy(folder, self.base)
        names = targets(folder)
        before = {name: look(folder / name) for name in names}
        outcome = strike(folder, save.act)
        if not outcome.is_well:
            raise RuntimeError(f"{save.name}: {outcome}")
        self.calls = outcome.calls
        names |= targets(folder)
        self.before = {name: before.get(name, ABSENT) for name in names}
        self.after = {name: look(folder / name) for name in names}
        if leftovers(folder):
            raise RuntimeError(f"{save.name}: left {leftovers(folder)}")
        self.versions = {name: {self.before[name], self.after[name]} for name in names}
        if save.is_repair:
            self.reset()
            for repair in (fastckpt.complete, fastckpt.discard):
                with suppress(ValueError):
                    repair(folder / "m")
                self.versions["m"].add(look(folder / "m"))
                self.reset()

    def reset(self) -> None:
        """Put the folder back to how it was before."""
        copy(self.base, self.folder)

    def is_untouched(self) -> bool:
        """Whether all files but those that are staged are what they were."""
        return _contents(self.folder) == _contents(self.base)

    def faults(self, *, may_be_old: bool = True, reorders: bool = False) -> list[str]:
        """Return what is wrong with the folder as it is now; leaves it as the next save has it.

        Without `may_be_old` the save had returned, and everything must be new.
        """
        found = list(self._look_at_all(may_be_old, reorders))
        found += self._look_at_latest()
        left = leftovers(self.folder)
        if left:
            copy(self.folder, self._spare)
            found += self._ask_doctor(left)
            for prefix in self._staged_prefixes(left):
                found += self._complete(prefix)
                copy(self._spare, self.folder)
                found += self._discard(prefix)
                copy(self._spare, self.folder)
        found += self._save_again(reorders)
        return found

    def _look_at_all(self, may_be_old: bool, reorders: bool) -> Iterator[str]:
        for name in sorted(self.versions):
            seen = look(self.folder / name)
            may_be_this = may_be_old or self.after[name] == ABSENT  # nobody waits for a removal
            if seen == self.after[name] or (may_be_this and seen in self.versions[name]):
                continue
            if not may_be_this:
                yield f"{name}: expected the new one, got {seen}"
                continue
            is_explained = seen == ABSENT and (
                self._is_interrupted(name) or self._is_put_aside(name)
            )
            is_removed = self.after[name] == ABSENT and seen.startswith(FAULTY) and reorders
            if not (is_explained or is_removed):
                yield f"{name}: neither old nor new: {seen}"

    def _is_interrupted(self, name: str) -> bool:
        """Whether the error that reading raises says that a save was interrupted."""
        try:
            fastckpt.read(self.folder / name)
        except (fastckpt.CheckpointError, OSError) as error:
            return "interrupted" in str(error)
        return False

    def _is_put_aside(self, name: str) -> bool:
        """Whether the old folder stands where doctor finds it, and the next save brings it back."""
        asides = self.folder.glob(f"{name}.tmp-*/old")
        return any(_digest_files(aside) == self.before[name] for aside in asides)

    def _look_at_latest(self) -> Iterator[str]:
        if "checkpoint" not in self.before or self.save.name == "repair-state":
            return
        latest = train.latest_checkpoint(self.folder)
        if latest is None:
            named = train.get_checkpoint_state(self.folder)
            if named is not None and not self._is_interrupted(
                os.path.relpath(named.model_checkpoint_path, self.folder)
            ):
                yield "latest_checkpoint: None"
            return
        seen = look(Path(latest))
        if seen == ABSENT or seen.startswith(FAULTY):
            yield f"latest_checkpoint: {latest}: {seen}"

    def _ask_doctor(self, left: list[str]) -> Iterator[str]:
        for folder in sorted({os.path.dirname(name) for name in left}):
            told = str(fastckpt.doctor(self.folder / folder))
            for name in left:
                final = (split_staged(name) or ("",))[0]
                short = os.path.basename(strip_suffix(final) or final)
                if os.path.dirname(name) == folder and not any(
                    word in told and short in told
                    for word in ("interrupted", "leftover", "another save")
                ):
                    yield f"doctor does not tell of {name}: {told}"

    def _staged_prefixes(self, left: list[str]) -> list[str]:
        finals = ((split_staged(name) or ("",))[0] for name in left)
        return sorted({strip_suffix(final) or "" for final in finals} & self.versions.keys())

    def _complete(self, prefix: str) -> Iterator[str]:
        before = look(self.folder / prefix)
        try:
            done = fastckpt.complete(self.folder / prefix)
        except (fastckpt.CheckpointError, OSError, ValueError):
            done = None
        seen = look(self.folder / prefix)
        wanted = {self.after[prefix]} if done else {before}
        if self.save.is_repair and done:
            wanted = self.versions[prefix]
        if seen not in wanted:
            yield f"{prefix}: completed ({done}), got {seen}"

    def _discard(self, prefix: str) -> Iterator[str]:
        before = look(self.folder / prefix)
        path = self.folder / prefix
        try:
            fastckpt.discard(path)
        except ValueError as error:
            if not fastckpt.complete(path):
                yield f"{prefix}: neither discarded nor completed: {error}"
            wanted = {self.after[prefix]}
        except (fastckpt.CheckpointError, OSError) as error:
            yield f"{prefix}: not discarded: {type(error).__name__}: {error}"
            return
        else:
            wanted = {self.before[prefix] if before == ABSENT else before}
        if self.save.is_repair:
            wanted = self.versions[prefix] - {ABSENT}
        seen = look(path)
        if seen not in wanted:
            yield f"{prefix}: discarded, got {seen}"
        staged = [name for name in leftovers(self.folder) if name.startswith(f"{prefix}.")]
        if staged:
            yield f"{prefix}: discarded, and left {staged}"

    def _save_again(self, reorders: bool) -> Iterator[str]:
        outcome = strike(self.folder, self.save.again or self.save.act)
        if not outcome.is_well:
            yield f"saving again: {outcome}"
            return
        for name in sorted(self.versions):
            seen = look(self.folder / name)
            may_stay = self.save.is_repair or self.after[name] == ABSENT
            is_broken = seen.startswith(FAULTY) and reorders
            if seen != self.after[name] and not (
                may_stay and (is_broken or seen in self.versions[name])
            ):
                yield f"{name}: saved again, got {seen}"
        if leftovers(self.folder):
            yield f"saved again, and left {leftovers(self.folder)}"


def copy(source: Path, target: Path) -> None:
    """Make a folder what another one is, times included."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
