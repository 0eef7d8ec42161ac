"""`Saver`: name-based saving and restoring with retention, as `tf.train.Saver` does it.

What is written and deleted, when, and under which name was compared with TensorFlow 1.15 file by
file (docs/format.md, "Saver").
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, ValuesView
from dataclasses import fields
from typing import Any, Final

import numpy as np

from ..bundle.names import STATE_FILE
from ..bundle.writer import Writer
from ..checkpoint import Checkpoint
from ..graph.meta import SaverDef, encode_meta
from ..paths.lookup import (
    checkpoint_exists,
    get_checkpoint_mtimes,
    is_folder,
    meta_path,
)
from ..paths.read import read
from ..paths.state import make_state, store_state
from ..storage.stage import replace_file
from ..storage.urls import local_path
from ..v1.writer import write_v1
from .fetch import check_tensors, read_tensors
from .retention import KeepHourly, Retention
from .variables import Variable, named_variables, restore_all, to_integer

__all__ = ["Saver"]

Path = str | os.PathLike[str]
Session = Mapping[str, Any] | None


class Saver:
    """Save and restore variables by name, and keep the latest few checkpoints.

    There is no session here: `sess`, in `save` and `restore`, is a mapping of names to arrays that
    holds the values, or None when `var_list` holds them. `var_list` is a mapping of checkpoint
    names to variables, or a list of variables with names; None stands for all of `sess`. A
    variable is a NumPy array, anything with a value and `assign()` (`tf.Variable`, Keras
    variables), a PyTorch tensor, or the name of an entry of `sess`. See `fastckpt.train.variables`.

    `max_to_keep` checkpoints stay, all with None or 0; of those that go, one is kept for every
    `keep_checkpoint_every_n_hours`. `reshape` restores where only the number of elements is the
    same. `write_version` is `SaverDef.V2` or `SaverDef.V1`. `pad_step_number` writes the step
    with 8 digits or more, `save_relative_paths` relative paths into the state file where the
    save path is absolute. Without variables, `allow_empty` saves nothing instead of raising
    `ValueError`.

    What only makes sense for a graph has the meaning that is left: `sharded` names the files as
    those of a single shard, as TensorFlow does where all variables are on one device; `name` is
    the scope of the nodes in the `.meta`; of `saver_def` the retention, the version and the
    names of the nodes are taken; `restore_sequentially` reads one tensor after the other;
    `defer_build` asks for a call of `build`; `builder` and `filename` change nothing.

    Raises `ValueError` for two variables of one name, `TypeError` for what is no variable.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: SaverDef | None = None,
        builder: object = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = SaverDef.V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
    ) -> None:
        if defer_build and var_list:
            raise ValueError(
                "If `var_list` is provided then build cannot be deferred. "
                "Either set defer_build=False or var_list=None."
            )
        if isinstance(var_list, Iterator):
            var_list = list(var_list)  # it is gone through more than once
        self._var_list = var_list
        self._reshape = reshape
        self._sharded = sharded
        self._restore_sequentially = restore_sequentially
        self._allow_empty = allow_empty
        self._pad_step_number = pad_step_number
        self._save_relative_paths = save_relative_paths
        if saver_def is None:
            self.saver_def = _make_saver_def(
                name, max_to_keep, sharded, keep_checkpoint_every_n_hours, write_version
            )
        else:
            self.saver_def = _check_saver_def(saver_def, name)
        self._is_built = False
        settings = self.saver_def
        self._kept = KeepHourly(settings.keep_checkpoint_every_n_hours)
        self._retention = Retention(settings.max_to_keep, self._kept, settings.version)
        if not defer_build:
            self.build()

    def build(self) -> None:
        """Begin to work, after `defer_build`. The hours of retention count from here."""
        if self._is_built:
            return
        _check_var_list(self._var_list)
        if self._var_list is not None and not _has_names(self._var_list):
            variables = named_variables(self._var_list)
            if not variables and not self._allow_empty:
                raise ValueError("No variables to save")
        self._is_built = True
        self._kept.begin()

    def save(
        self,
        sess: Session,
        save_path: Path,
        global_step: Any = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> str | None:
        """Save, and return the path to restore from: the prefix, or for a sharded V1 checkpoint a
        pattern. None if there is nothing to save and `allow_empty` is set.

        `global_step` is appended to `save_path`: an integer, an array or variable of one, or
        the name of an entry of `sess`. The checkpoint is written first and as a whole, then the
        state file `latest_filename` (default "checkpoint") in its folder, then at most one old
        checkpoint is deleted, then the `.meta` is written. One missing level of folders is made,
        unless the checkpoint is sharded or V1.

        `strip_default_attrs` and `save_debug_info` are about graphs and change nothing.

        Raises `ValueError` for a `latest_filename` with a folder in it or equal to the save
        path, a negative step, or a parent folder that is missing; `TypeError` for a step or a
        `sess` of another kind; `RuntimeError` if the state file would replace the checkpoint.
        """
        self._check_is_built()
        path = local_path(save_path)
        state_file = STATE_FILE if latest_filename is None else latest_filename
        if os.path.split(state_file)[0]:
            raise ValueError("'latest_filename' must not contain path components")
        checkpoint_path = path
        if global_step is not None:
            checkpoint_path = self._add_step(path, _to_step(global_step, sess))
        elif os.path.basename(path) == state_file and not self._sharded:
            raise ValueError(
                f"'latest_filename' collides with 'save_path': {state_file!r} and {path!r}"
            )
        variables = self._find_variables(sess)
        saved_path = self._write(checkpoint_path, variables) if variables else None
        if write_state and saved_path is not None:
            if self.saver_def.max_to_keep:
                self._retention.record(saved_path)
                self._retention.drop_oldest(1)
            folder, paths = os.path.dirname(path), self.last_checkpoints
            relative = self._save_relative_paths
            state = make_state(folder, saved_path, paths, save_relative_paths=relative)
            store_state(folder, state, state_file)
            self._retention.remove_dropped(folder, 1, meta_graph_suffix)
        if write_meta_graph:
            listed = [(each.name, each.dtype, each.shape) for each in variables]
            target = meta_path(checkpoint_path, meta_graph_suffix)
            replace_file(target, encode_meta(listed, self.saver_def), sync=True)
        return saved_path

    def restore(self, sess: Session, save_path: Path | None) -> None:
        """Restore every variable in place from a path that `save` returned, or any other
        checkpoint: of V1 or V2, or an object-based one whose graph knows the names.

        All or nothing: a tensor that is missing (`TensorNotFoundError`), of another dtype or
        shape (`ValueError`), or that is not what was written (`ChecksumError`) is found before
        the first value changes. Raises `ValueError` for a path without a checkpoint.
        """
        self._check_is_built()
        variables = self._find_variables(sess)
        if not variables:
            return
        if save_path is None:
            raise ValueError("Can't load save_path when it is None.")
        path = local_path(save_path) if os.fspath(save_path) else ""
        if not checkpoint_exists(path):
            raise ValueError("The passed save_path is not a valid checkpoint: " + path)
        threads = 1 if self._restore_sequentially else None
        with read(path, backend="pread") as checkpoint:
            keys = _find_tensors(checkpoint, variables)
            check_tensors(checkpoint, zip(variables, keys, strict=True), reshape=self._reshape)
            arrays = read_tensors(checkpoint, keys, threads=threads)
        restore_all(zip(variables, arrays, strict=True), reshape=self._reshape)

    @property
    def last_checkpoints(self) -> list[str]:
        """The paths of the checkpoints that were not deleted yet, the oldest first."""
        return self._retention.paths

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Set the list of checkpoints. Without times, none of them is ever deleted."""
        _check_is_list(last_checkpoints)
        self._retention.entries = [(path, math.inf) for path in last_checkpoints]

    def set_last_checkpoints_with_time(
        self, last_checkpoints_with_time: list[tuple[str, float]]
    ) -> None:
        """Set the list of checkpoints, with the time of each in seconds since 1970."""
        _check_is_list(last_checkpoints_with_time)
        self._retention.entries = [(path, when) for path, when in last_checkpoints_with_time]

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[str]) -> None:
        """Set the list of checkpoints to those that still exist, with the times of their files:
        for a new process that goes on where another one ended."""
        times = ((path, get_checkpoint_mtimes([path])) for path in checkpoint_paths)
        self._retention.entries = [(path, found[0]) for path, found in times if found]

    def as_saver_def(self) -> SaverDef:
        """Return the settings as the `.meta` has them."""
        return self.saver_def

    def to_proto(self) -> SaverDef:
        """Return what `as_saver_def` returns."""
        return self.saver_def

    @staticmethod
    def from_proto(saver_def: SaverDef, import_scope: str | None = None) -> Saver:
        """Return a `Saver` with the settings of another one."""
        return Saver(saver_def=saver_def, name=import_scope)

    def _check_is_built(self) -> None:
        if not self._is_built:
            raise RuntimeError("`build()` should be called before save if defer_build==True")

    def _add_step(self, path: str, step: int) -> str:
        return f"{path}-{step:08d}" if self._pad_step_number else f"{path}-{step}"

    def _find_variables(self, sess: Session) -> list[Variable]:
        """Return the variables in the order in which TensorFlow saves them: that of their names."""
        if sess is not None and not isinstance(sess, Mapping):
            raise TypeError(
                f"'sess' must be a mapping of names to values, or None; got {type(sess).__name__}"
            )
        target = self._var_list
        if target is None and sess is None:
            raise TypeError("'sess' must be a mapping of names to values, since var_list is None")
        if target is None:
            found = named_variables(sess)
        else:
            found = named_variables(_prefer_held(target, sess), sess)
        if not found and not self._allow_empty:
            raise ValueError("No variables to save")
        return [found[name] for name in sorted(found)]

    def _write(self, path: str, variables: list[Variable]) -> str:
        problem = f"Parent directory of {path} doesn't exist, can't save."
        folder = os.path.dirname(path) or os.curdir
        is_v1, is_sharded = self.saver_def.version == SaverDef.V1, self.saver_def.sharded
        if (is_v1 or is_sharded) and not is_folder(folder):  # as TensorFlow has it
            raise ValueError(problem)
        try:
            if is_v1:
                values = {each.name: each.value() for each in variables}
                return write_v1(path, values, num_shards=1 if is_sharded else None)
            with Writer(path, alignment=1) as writer:
                for each in variables:
                    writer.add(each.name, each.value())
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            if is_folder(folder):
                raise
            raise ValueError(problem) from error
        return path


_SCOPE: Final = "save"


def _make_saver_def(
    name: str | None, max_to_keep: int | None, sharded: bool, hours: float, version: int
) -> SaverDef:
    if version not in (SaverDef.V1, SaverDef.V2):
        raise ValueError(f"write_version: expected SaverDef.V1 or SaverDef.V2, got {version!r}")
    scope = name or _SCOPE
    return SaverDef(
        filename_tensor_name=f"{scope}/Const:0",
        save_tensor_name=f"{scope}/control_dependency:0",
        restore_op_name=f"{scope}/restore_all",
        max_to_keep=max_to_keep or 0,
        sharded=sharded,
        keep_checkpoint_every_n_hours=float(np.float32(hours)),  # as the message holds it
        version=version,
    )


def _check_saver_def(given: Any, name: str | None) -> SaverDef:
    """Return TensorFlow's message, or ours, as ours."""
    names = [field.name for field in fields(SaverDef)]
    if not all(hasattr(given, name) for name in names):
        raise ValueError(f"saver_def must be a SaverDef: {given}")
    prefix = f"{name}/" if name else ""
    values = {each: getattr(given, each) for each in names}
    for field in ("save_tensor_name", "restore_op_name"):
        if not values[field]:
            raise ValueError(f"saver_def must specify the {field}: {given}")
    for field in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
        values[field] = prefix + values[field]
    return SaverDef(**values)


def _check_is_list(value: object) -> None:
    if not isinstance(value, list):  # TensorFlow asserts it
        raise AssertionError(f"expected a list, got {type(value).__name__}")


def _has_names(var_list: Any) -> bool:
    """Whether some of the variables are names of entries of a session."""
    items = var_list.values() if isinstance(var_list, Mapping) else var_list
    return isinstance(items, (list, tuple, ValuesView)) and any(
        isinstance(item, str) for item in items
    )


_NO_VARIABLES: Final = (int, float, complex, bytes, list, tuple, np.generic, type(None))


def _check_var_list(var_list: Any) -> None:
    """Refuse values in the place of variables, and a variable under two names, as TensorFlow
    does: of two tensors it could only be restored from one."""
    if not isinstance(var_list, Mapping):
        return
    names: dict[int, str] = {}
    for name, variable in var_list.items():
        if isinstance(variable, _NO_VARIABLES):
            raise TypeError(f"variable {name!r}: expected a variable, got {variable!r}")
        if not isinstance(variable, str) and id(variable) in names:
            raise ValueError(f"The same saveable will be restored with two names: {name}")
        names[id(variable)] = name


def _prefer_held(var_list: Any, sess: Session) -> Any:
    """Return the variables, with arrays that are not those of the session, but stand for an entry
    of that name, replaced by the name: the session holds the values, and
    ``sess["v"] = sess["v"] + 1`` puts another array there."""
    if sess is None or not isinstance(var_list, Mapping):
        return var_list
    held = {id(value) for value in sess.values()}
    return {
        name: name
        if isinstance(value, np.ndarray) and id(value) not in held and name in sess
        else value
        for name, value in var_list.items()
    }


def _to_step(step: Any, sess: Session) -> int:
    number = to_integer("global_step", step, sess)
    if number < 0:
        raise ValueError(f"global_step: expected 0 or more, got {number}")
    return number


def _find_tensors(checkpoint: Checkpoint, variables: list[Variable]) -> list[str]:
    """Return the tensor of each variable: of its name, or in an object-based checkpoint of the
    variable that had this name in a graph."""
    names = [variable.name for variable in variables]
    if all(name in checkpoint for name in names):
        return names
    graph = checkpoint.object_graph
    full_names = {} if graph is None else graph.full_names()
    keys = [name if name in checkpoint else full_names.get(name, name) for name in names]
    for key in keys:
        checkpoint.info(key)  # raises for one that is not there
    return keys
