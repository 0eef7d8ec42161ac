"""Reading checkpoints in every way there is, and comparing what each of them gave."""

import numpy as np
from fuzz.inputs import ERRORS, attempt, require

import fastckpt

MAX_TENSORS = 40  # of one input that are read: an input should take milliseconds


def same(a, b):
    """Whether two arrays are the same to the bit; objects are compared as such."""
    if a.dtype == object or b.dtype == object:
        return a.dtype == b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def compare_values(one, other):
    for name in one.keys() & other.keys():
        require(same(one[name], other[name]), f"{name!r} is not what it was")


def read_all(checkpoint):
    """Read an open checkpoint in every way; return its tensors."""
    names, error = attempt(list, checkpoint)
    if error is not None:
        require(attempt(checkpoint.infos)[1], "infos where there are no names")
        names = []
    infos, _ = attempt(checkpoint.infos)
    require(infos is None or [info.name for info in infos] == names, "infos are not the names")
    values = {name: read_tensor(checkpoint, name) for name in names[:MAX_TENSORS]}
    attempt(lambda: checkpoint.object_graph)
    attempt(lambda: checkpoint.variables)
    attempt(checkpoint.get, "no such tensor")
    check_problems(checkpoint)
    return {name: value for name, value in values.items() if value is not None}


def read_tensor(checkpoint, name):
    """Return a tensor, or None for one that is broken. What is listed is found."""
    is_found, error = attempt(checkpoint.__contains__, name)
    require(is_found or error is not None, f"{name!r} is listed, but not found")
    copied, copy_error = attempt(checkpoint.get_tensor, name, copy=True)
    viewed, view_error = attempt(checkpoint.get_tensor, name)
    require(
        view_error is None or copy_error is not None,
        f"{name!r} is copied, but not viewed: {view_error}",
    )
    info, _ = attempt(checkpoint.info, name)
    for array in (copied, viewed):
        if array is not None:
            require(info is not None, f"{name!r} is read, but not described")
            require((info.shape, info.nbytes) == (array.shape, size_of(info, array)), "other size")
    if copied is not None and viewed is not None:
        require(same(copied, viewed), f"{name!r} has two values")
        read_slices(checkpoint, name, copied)
    return copied


def size_of(info, array):
    return info.nbytes if array.dtype == object else array.nbytes


def read_slices(checkpoint, name, whole):
    handle, error = attempt(checkpoint.get_slice, name)
    require(error is None, f"{name!r} is read, but not in parts: {error}")
    for index in (..., slice(0, 1), (..., slice(None, None, -2)), (slice(1, None),)):
        if whole.ndim or index is ...:
            part, error = attempt(lambda index=index: handle[index])
            require(error is None, f"{name!r}[{index}]: {error}")
            require(same(np.asarray(part), np.asarray(whole[index])), f"{name!r}[{index}]")


def check_problems(checkpoint):
    problems = list(checkpoint.problems(threads=1))
    for problem in problems:
        require(isinstance(problem, ERRORS), f"problems() gave {problem!r}")
        str(problem)
    _, error = attempt(checkpoint.verify, threads=1)
    require(bool(problems) == (error is not None), f"verify and problems disagree: {error}")


def rescue(path, out):
    diagnosis = fastckpt.doctor(path, verify=True)
    str(diagnosis)
    attempt(lambda: str(fastckpt.tree(path)))
    comparison, _ = attempt(fastckpt.diff, path, path)
    if comparison is not None:
        str(comparison)
        require(comparison.is_same, "it differs from itself")
    report, error = attempt(fastckpt.salvage, path, out, sync=False)
    if error is not None:
        return
    str(report)
    if report.saved:
        with fastckpt.read(out) as saved:
            require(sorted(saved) == sorted(report.saved), "not what was reported")
            saved.verify(threads=1)
            compare_with_source(path, saved)


def compare_with_source(path, saved):
    source, _ = attempt(fastckpt.read, path)
    if source is not None:
        with source:
            for name in list(saved)[:MAX_TENSORS]:
                value, error = attempt(source.get_tensor, name, copy=True)
                if error is None:
                    require(same(value, saved.get_tensor(name)), f"{name!r} changed")
