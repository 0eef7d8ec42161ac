"""The checkpoint of the tests of edits."""

import os

import numpy as np

import fastckpt
from fastckpt.edit import rename as edit

EMB = np.arange(24, dtype=np.float32).reshape(6, 4)


TENSORS = {
    "emb": EMB,
    "model/bias": np.arange(3.0),
    "model/kernel": np.arange(600, dtype=np.float32).reshape(20, 30),
    "model/kernel/Adam": np.full((20, 30), 0.5, np.float32),
    "text": np.array([b"one", b"", b"three\0"], object),
}


def save(prefix, num_shards=3):
    with fastckpt.Writer(prefix, num_shards=num_shards, sync=False) as writer:
        for name, value in TENSORS.items():
            if name == "emb":
                writer.add_slice(name, value[:2], full_shape=(6, 4), start=(0, 0))
                writer.add_slice(name, value[2:], full_shape=(6, 4), start=(2, 0))
            else:
                writer.add(name, value)


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        checkpoint.verify()
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shards_of(prefix):
    with fastckpt.read(prefix) as checkpoint:
        count = checkpoint.num_shards
    return [f"{prefix}.data-{i:05d}-of-{count:05d}" for i in range(count)]


def inodes(prefix):
    return {os.stat(path).st_ino for path in shards_of(prefix)}


EDITS = {
    "rename": lambda src, dst, **options: edit.rename(src, dst, [("^", "new/")], **options),
    "subset": lambda src, dst, **options: edit.subset(src, dst, "model/*", **options),
    "alias": lambda src, dst, **options: edit.alias(src, dst, {"again": "text"}, **options),
    "reshard": lambda src, dst: edit.reshard(src, dst, 2),
}


LINKING = ["rename", "subset", "alias"]
