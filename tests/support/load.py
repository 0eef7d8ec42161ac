"""Load: many tensors, shards, names, threads, and a long time.

    python tests/support/load.py [SECONDS]     all of it, the last case for that long (default: 600)

Each case raises where something is wrong and returns its figures; test_load.py runs small ones.
"""

import gc
import os
import random
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import fastckpt
from fastckpt import train

PAGE = resource.getpagesize()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def memory():
    """The process's own memory now, in bytes, without the files that it has mapped."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE


def many_tensors(folder, count):
    names = [f"block_{i // 100:05d}/layer_{i:07d}/kernel" for i in range(count)]

    began = time.perf_counter()
    with fastckpt.Writer(folder / "m", sync=False) as writer:
        for i, name in enumerate(names):
            writer.add(name, np.int64(i))
    written = time.perf_counter()
    with fastckpt.read(folder / "m") as checkpoint:
        assert list(checkpoint) == names
        for i, name in enumerate(names):
            assert checkpoint[name] == i
        read = time.perf_counter()
        checkpoint.verify()
    verified = time.perf_counter()

    return {
        "tensors": count,
        "write s": round(written - began, 1),
        "read each s": round(read - written, 1),
        "verify s": round(verified - read, 1),
    }


def many_shards(folder, count, limit):
    """Write and read with at most `limit` descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    most = 0
    try:
        values = {f"v{i:06d}": np.full(3, i) for i in range(count)}
        fastckpt.write(folder / "m", values, num_shards=count, sync=False)
        for backend in ("mmap", "pread"):
            with fastckpt.read(folder / "m", backend=backend) as checkpoint:
                for i, name in enumerate(values):
                    assert checkpoint[name][2] == i
                checkpoint.verify()
                most = max(most, descriptors())
        loaded = fastckpt.load(folder / "m")
        assert all((loaded[name] == values[name]).all() for name in values)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {"shards": count, "descriptors at most": most}


def long_names(folder, count, size):
    names = [f"{i:04d}" + "n" * (size - 4) for i in range(count)]
    fastckpt.write(folder / "m", dict.fromkeys(names, np.float32(1)), sync=False)

    with fastckpt.read(folder / "m") as checkpoint:
        assert list(checkpoint) == names
        assert all(checkpoint[name] == 1 for name in names)
        assert names[0][:-1] not in checkpoint
    assert fastckpt.doctor(folder / "m").is_healthy
    return {"names": count, "bytes each": size}


def many_threads(folder, count, reads):
    values = {f"t/{i:05d}": np.full(100, i) for i in range(5000)}
    values["text"] = np.array([b"some", b"strings"], object)
    fastckpt.write(folder / "m", values, num_shards=4, sync=False)
    checkpoint = fastckpt.read(folder / "m", verify=True)
    start = threading.Barrier(count)
    errors = []

    def read(seed):
        chosen = random.Random(seed)
        start.wait()
        try:
            for _ in range(reads):
                i = chosen.randrange(5000)
                assert (checkpoint[f"t/{i:05d}"] == i).all()
                assert checkpoint["text"].tolist() == [b"some", b"strings"]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return {"threads": count, "reads": 2 * count * reads}


def soak(folder, seconds):
    """Save, restore, edit and delete at random; memory and descriptors stay as they were."""
    chosen = random.Random(0)
    managed = {}
    manager = train.CheckpointManager(managed, folder / "managed", max_to_keep=3)
    saver = train.Saver(max_to_keep=4)
    alive = []
    counts = {}

    def values(step):
        sizes = [chosen.randrange(1, 200_000) for _ in range(6)]
        return {f"v{i}": np.full(size, step, np.float32) for i, size in enumerate(sizes)} | {
            "text": np.array([b"x" * chosen.randrange(1, 100)] * 50, object),
            "step": np.int64(step),
        }

    def save(step):
        saver.save(values(step), folder / "saver" / "model", global_step=step)

    def save_managed(step):
        managed.update(values(step))
        manager.save(checkpoint_number=step)

    def write_over(step):
        fastckpt.write(folder / "over", values(step), num_shards=1 + step % 4, sync=False)

    def restore(step):
        latest = train.latest_checkpoint(folder / "saver")
        if latest is not None:
            loaded = fastckpt.load(latest)
            assert (loaded["v0"] == loaded["step"]).all()

    def keep_views(step):
        latest = train.latest_checkpoint(folder / "saver")
        if latest is not None:
            alive.append(fastckpt.read(latest)["v1"])
            del alive[:-8]

    def edit(step):
        latest = train.latest_checkpoint(folder / "saver")
        if latest is not None:
            fastckpt.rename(latest, folder / "edited", [("^v", "w")])
            fastckpt.cast(folder / "edited", folder / "cast", {"w*": "bfloat16"})
            fastckpt.read(folder / "cast").verify()

    def fail(step):
        try:
            fastckpt.write(folder / "over", {"a": np.zeros(9), "b": object()})
        except TypeError:
            pass
        else:
            raise AssertionError("an object was written")

    (folder / "saver").mkdir()
    steps = [save, save_managed, write_over, restore, keep_views, edit, fail]
    began = time.monotonic()
    warm = None
    step = 0
    most = 0
    while time.monotonic() - began < seconds:
        step += 1
        work = chosen.choice(steps)
        work(step)
        counts[work.__name__] = counts.get(work.__name__, 0) + 1
        if step == 300:
            gc.collect()
            warm = memory(), descriptors()
        elif warm and step % 100 == 0:
            gc.collect()
            most = max(most, memory() - warm[0])
            assert most < 16 << 20, f"memory grew by {most} bytes in {step} steps"
            assert descriptors() <= warm[1] + 8, f"{descriptors()} descriptors, {warm[1]} at first"
    left = [name for name in os.listdir(folder) if ".tmp-" in name]
    assert not left, left
    return {"seconds": seconds, "steps": step, "memory grew by at most kB": most >> 10} | counts


def main(seconds):
    cases = [
        (many_tensors, 1_000_000),
        (many_shards, 10_000, 256),
        (long_names, 200, 64 << 10),
        (many_threads, 200, 500),
        (soak, seconds),
    ]
    for case, *arguments in cases:
        with tempfile.TemporaryDirectory() as folder:
            found = case(Path(folder), *arguments)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        figures = ", ".join(f"{what}: {number:,}" for what, number in found.items())
        print(f"{case.__name__}: {figures}; peak {peak} MB", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0)
