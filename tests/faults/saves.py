"""The kinds of save: what is in the folder before, and the call that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fastckpt
from fastckpt import train
from fastckpt.graph.meta import SaverDef
from fastckpt.v1.writer import write_v1

from .acts import (
    NEW,
    OLD,
    align,
    average,
    beside,
    both,
    careless,
    complete,
    complete_or_discard,
    convert,
    convert_back,
    converted,
    damaged,
    discard,
    edit,
    finish_or,
    foreign_source,
    in_place,
    interrupted,
    lose_state,
    manage,
    manage_again,
    merge,
    numeric,
    objects,
    over,
    save_in_place,
    sources,
    sources_over,
    train_to,
    unaligned,
    values,
    write,
    write_parts,
    write_slices,
)


@dataclass(frozen=True, slots=True)
class Save:
    """`prepare` makes the folder, `act` is the save, `again` what a person does after it was
    interrupted (default: the same once more).

    `is_repair` is for what works on an interrupted save: the old and the new checkpoint are both
    right then. `needs` are packages that are imported before it is tried. A power loss is no
    matter for one that `syncs` nothing, nor a read that fails for one that `takes_what_it_can`.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    again: Callable[[Path], object] | None = None
    is_repair: bool = False
    needs: tuple[str, ...] = ()
    syncs: bool = True
    takes_what_it_can: bool = False


V1 = SaverDef.V1
RENAME = [(r"^(a|b)$", r"layer/\1")]
in_place_rename = in_place("rename", RENAME)
in_place_reshard = in_place("reshard", 2)

SAVES = {
    each.name: each
    for each in [
        Save("write", beside, write("m", NEW)),
        Save("write-over", over, write("m", NEW)),
        Save("write-unsynced", over, write("m", NEW, sync=False), syncs=False),
        Save(
            "write-shards",
            both(beside, write("m", OLD, num_shards=3)),
            write("m", NEW, num_shards=3),
        ),
        Save("write-more-shards", over, write("m", NEW, num_shards=3)),
        Save("write-fewer-shards", both(beside, write("m", OLD, num_shards=3)), write("m", NEW)),
        Save("write-folder", beside, write("new/m", NEW)),
        Save("writer-slices", over, write_slices),
        Save("merge", write_parts, merge),
        Save("merge-over", both(write_parts, write("m", OLD, num_shards=3)), merge),
        Save("write-v1", beside, lambda folder: write_v1(folder / "v1", values(NEW))),
        Save(
            "write-v1-over",
            lambda folder: write_v1(folder / "v1", values(OLD)),
            lambda folder: write_v1(folder / "v1", values(NEW)),
        ),
        Save(
            "write-v1-shards-over",
            lambda folder: write_v1(folder / "v1", values(OLD), num_shards=2),
            lambda folder: write_v1(folder / "v1", values(NEW), num_shards=2),
        ),
        Save("saver", train_to(2), train_to(3)),
        Save("saver-sharded", train_to(2, sharded=True), train_to(3, sharded=True)),
        Save("saver-v1", train_to(2, write_version=V1), train_to(3, write_version=V1)),
        Save(
            "saver-v1-sharded",
            train_to(2, write_version=V1, sharded=True),
            train_to(3, write_version=V1, sharded=True),
        ),
        Save("saver-in-place", save_in_place(OLD), save_in_place(NEW)),
        Save("manager", manage(2), manage(3), manage_again(3)),
        Save("objects", beside, objects(NEW)),
        Save("objects-over", both(beside, objects(OLD)), objects(NEW)),
        Save("rename", sources, edit("rename", RENAME)),
        Save("rename-over", sources_over, edit("rename", RENAME)),
        Save("rename-copied", sources_over, edit("rename", RENAME, link=False)),
        Save("rename-in-place", over, in_place_rename, finish_or(in_place_rename)),
        Save("subset-over", sources_over, edit("subset", ["a", "b"])),
        Save("alias-over", sources_over, edit("alias", {"a2": "a"})),
        Save("align-over", unaligned, align),
        Save("reshard", sources, edit("reshard", 3)),
        Save("reshard-over", sources_over, edit("reshard", 3)),
        Save("reshard-in-place", over, in_place_reshard, finish_or(in_place_reshard)),
        Save("cast-over", sources_over, edit("cast", {"a": "float16"})),
        Save("average-over", sources_over, average),
        Save(
            "salvage-over",
            damaged,
            edit("salvage"),
            takes_what_it_can=True,
        ),
        Save("npz", numeric, convert(".npz")),
        Save("npz-over", converted(".npz"), convert(".npz")),
        Save("npz-back", foreign_source, convert_back),
        Save(
            "safetensors-over",
            converted(".safetensors"),
            convert(".safetensors"),
            needs=("safetensors",),
        ),
        Save("hdf5-over", converted(".h5"), convert(".h5"), needs=("h5py",)),
        Save("zarr", numeric, convert(".zarr"), needs=("zarr",)),
        Save("zarr-over", converted(".zarr"), convert(".zarr"), needs=("zarr",)),
        Save("repair-state", lose_state, lambda folder: fastckpt.repair_state(folder)),
        Save(
            "update-state",
            train_to(2),
            lambda folder: train.update_checkpoint_state(folder, folder / "m-1"),
        ),
        Save("remove", train_to(2), lambda folder: train.remove_checkpoint(folder / "m-1")),
        Save("complete", interrupted(0), complete, complete_or_discard, is_repair=True),
        Save("complete-moved", interrupted(2), complete, complete_or_discard, is_repair=True),
        Save("discard", interrupted(0), discard, is_repair=True),
        Save("discard-moved", interrupted(1), discard, is_repair=True),
    ]
}

CARELESS = Save("careless", over, careless)  # in which faults must be found


def find(name: str) -> Save:
    return CARELESS if name == CARELESS.name else SAVES[name]
