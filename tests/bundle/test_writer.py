"""Writing: what is refused, what an interrupted save leaves, and what arrives on disk."""

import errno
import gc
import os
import sys

import ml_dtypes
import numpy as np
import pytest
from fresh import run

import fastckpt

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files and locks")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

OLD = {"a": np.arange(5, dtype=np.int32), "old": np.array([b"x" * 100], dtype=object)}
NEW = {"a": np.arange(5, dtype=np.int32) + 100, "new": np.ones((3, 4)), "s": np.array(b"text")}


def snapshot(folder):
    """Every file below a folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def file_names(base, num_shards):
    return [
        *(f"{base}.data-{i:05d}-of-{num_shards:05d}" for i in range(num_shards)),
        f"{base}.index",
    ]


def read_all(prefix):
    with fastckpt.read(prefix) as checkpoint:
        return {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}


def assert_same(found, expected):
    assert list(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], np.asarray(value))


@pytest.fixture(params=["nothing", "a checkpoint"])
def folder(request, tmp_path):
    """A folder in which the prefix `m` has nothing, or a checkpoint."""
    if request.param == "a checkpoint":
        fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    return tmp_path


# ---- refused: names, values, options


def mixed(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


BAD_VALUES = {
    "datetime64": np.zeros(2, "M8[s]"),
    "timedelta64": np.zeros(2, "m8[s]"),
    "structured": np.zeros(2, "i4,f4"),
    "void": np.zeros(2, "V3"),
    "objects": mixed(object()),
    "numbers as objects": mixed(1, 2),
    "mixed objects": mixed(b"a", 1),
    "None among strings": mixed("a", None),
    "None": None,
    "dict": {"a": 1},
    "set": {1},
    "ragged": [[1], [1, 2]],
    "ragged strings": [["a"], ["b", "c"]],
    "lone surrogate": "a\ud800",
    "lone surrogates": np.array(["a", "\udfff"]),
    "beyond 64 bits": 1 << 70,
}
if np.dtype(np.longdouble).itemsize > 8:
    BAD_VALUES["longdouble"] = np.zeros(2, np.longdouble)
    BAD_VALUES["complex256"] = np.zeros(2, np.clongdouble)

BAD_NAMES = {
    "empty": "",
    "lone surrogate": "a\ud800",
    "unescaped low surrogate": "\udc41",
    "bytes": b"a",
    "None": None,
    "integer": 5,
    "tuple": ("a",),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_value_without_a_type_is_refused_by_name_and_changes_nothing(folder, case):
    before = snapshot(folder)

    with pytest.raises((TypeError, ValueError), match="layer/bad"):
        fastckpt.write(folder / "m", {"good": np.zeros(3), "layer/bad": BAD_VALUES[case]})
    assert snapshot(folder) == before

    with (
        pytest.raises((TypeError, ValueError), match="layer/bad"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        writer.add("good", np.zeros(3))
        writer.add("layer/bad", BAD_VALUES[case])
    assert snapshot(folder) == before


@pytest.mark.parametrize("case", BAD_VALUES)
def test_slice_without_a_type_is_refused_by_name_and_changes_nothing(folder, case):
    before = snapshot(folder)

    with (
        pytest.raises((TypeError, ValueError), match="layer/bad"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        writer.add_slice("layer/bad", BAD_VALUES[case], full_shape=(4,), start=(0,))

    assert snapshot(folder) == before


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_name_is_refused_and_changes_nothing(folder, case):
    before = snapshot(folder)
    name = BAD_NAMES[case]
    part = {"full_shape": (4,), "start": (0,)}

    with pytest.raises((TypeError, ValueError), match="name|tensor"):
        fastckpt.write(folder / "m", {"good": 1, name: 2})
    assert snapshot(folder) == before

    for add in (
        lambda writer: writer.add(name, 1),
        lambda writer: writer.add_slice(name, np.zeros(2), **part),
    ):
        with (
            pytest.raises((TypeError, ValueError), match="name|tensor"),
            fastckpt.Writer(folder / "m") as writer,
        ):
            writer.add("good", 1)
            add(writer)
        assert snapshot(folder) == before


DUPLICATES = {
    "added twice": lambda w: (w.add("v", 1), w.add("v", 2)),
    "two spellings of one name": lambda w: (w.add("ü", 1), w.add("\udcc3\udcbc", 2)),
    "tensor, then slice": lambda w: (w.add("v", np.zeros(4)), add_part(w, 0, 2)),
    "slice, then tensor": lambda w: (add_part(w, 0, 2), w.add("v", np.zeros(4))),
    "slice, then the whole as a slice": lambda w: (add_part(w, 0, 2), add_part(w, 0, 4)),
    "the whole as a slice, then a slice": lambda w: (add_part(w, 0, 4), add_part(w, 0, 2)),
    "the whole as a slice twice": lambda w: (add_part(w, 0, 4), add_part(w, 0, 4)),
    "the same slice twice": lambda w: (add_part(w, 0, 2), add_part(w, 0, 2)),
}


def add_part(writer, start, length, dtype="f4", full=4, name="v"):
    writer.add_slice(name, np.ones(length, dtype), full_shape=(full,), start=(start,))


@pytest.mark.parametrize("case", DUPLICATES)
def test_name_twice_is_a_value_error_and_changes_nothing(folder, case):
    before = snapshot(folder)

    with pytest.raises(ValueError, match="tensor '.*'"), fastckpt.Writer(folder / "m") as writer:
        DUPLICATES[case](writer)

    assert snapshot(folder) == before


def test_two_spellings_of_one_name_are_refused_by_write(folder):
    before = snapshot(folder)

    with pytest.raises(ValueError, match="there is one of this name already"):
        fastckpt.write(folder / "m", {"ü": 1, "\udcc3\udcbc": 2})

    assert snapshot(folder) == before


@pytest.mark.parametrize("first", ["name", "slice"])
def test_tensor_named_like_a_slices_key_is_refused(folder, first):
    before = snapshot(folder)
    steps = [
        lambda w: w.add(b"\0v\0\1\1\1\x80\x82".decode("utf-8", "surrogateescape"), 1),
        lambda w: add_part(w, 0, 2),
    ]

    with pytest.raises(ValueError, match="tensor '"), fastckpt.Writer(folder / "m") as writer:
        for step in steps if first == "name" else steps[::-1]:
            step(writer)

    assert snapshot(folder) == before


BAD_SLICES = {
    "beyond the shape": (np.zeros((2, 2)), (4, 2), (3, 0)),
    "behind the shape": (np.zeros((1, 2)), (4, 2), (4, 0)),
    "before the shape": (np.zeros((2, 2)), (4, 2), (-1, 0)),
    "wider than the shape": (np.zeros((2, 3)), (4, 2), (0, 0)),
    "of another rank": (np.zeros(2), (4, 2), (0, 0)),
    "at a start of another rank": (np.zeros((2, 2)), (4, 2), (0,)),
    "in a shape of another rank": (np.zeros((2, 2)), (4,), (0, 0)),
    "not a whole dimension": (np.zeros((2, 1)), (4, 2), (0, None)),
    "in a negative shape": (np.zeros((2, 2)), (-4, 2), (0, 0)),
    "far away": (np.zeros((2, 2)), (4, 2), (1 << 63, 0)),
    "in a shape beyond 63 bits": (np.zeros((2, 2)), (1 << 64, 2), (0, 0)),
    "at a start that is no integer": (np.zeros((2, 2)), (4, 2), (0.5, 0)),
    "in a shape that is not of integers": (np.zeros((2, 2)), (4.5, 2), (0, 0)),
    "in a shape of text": (np.zeros((2, 2)), "42", (0, 0)),
}


@pytest.mark.parametrize("case", BAD_SLICES)
def test_slice_outside_of_its_shape_is_refused_and_changes_nothing(folder, case):
    before = snapshot(folder)
    value, full_shape, start = BAD_SLICES[case]

    with (
        pytest.raises((TypeError, ValueError, OverflowError), match="."),
        fastckpt.Writer(folder / "m") as writer,
    ):
        writer.add("good", 1)
        writer.add_slice("layer/bad", value, full_shape=full_shape, start=start)

    assert snapshot(folder) == before


@pytest.mark.parametrize("case", [case for case in BAD_SLICES if "no" not in case.split()])
def test_slice_outside_of_its_shape_is_a_value_error_that_names_the_tensor(tmp_path, case):
    value, full_shape, start = BAD_SLICES[case]

    with (
        pytest.raises((TypeError, ValueError), match="layer/bad"),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        writer.add_slice("layer/bad", value, full_shape=full_shape, start=start)


BAD_TILINGS = {
    "hole at the end": ([(0, 2)], "no slice holds the element at"),
    "hole at the start": ([(1, 3)], "no slice holds the element at"),
    "hole in the middle": ([(0, 1), (3, 1)], "no slice holds the element at"),
    "overlap": ([(0, 3), (2, 2)], "overlaps another one"),
    "one within another": ([(0, 3), (1, 1), (3, 1)], "overlaps another one"),
}


@pytest.mark.parametrize("case", BAD_TILINGS)
def test_slices_that_overlap_or_leave_a_hole_are_refused_by_name(folder, case):
    before = snapshot(folder)
    parts, message = BAD_TILINGS[case]

    with (
        pytest.raises(ValueError, match=f"layer/bad.*{message}"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        for start, length in parts:
            add_part(writer, start, length, name="layer/bad")

    assert snapshot(folder) == before


@pytest.mark.parametrize("second", [{"dtype": "f8"}, {"dtype": "i4"}, {"full": 5}, {"full": 3}])
def test_slices_of_different_tensors_under_one_name_are_refused(folder, second):
    before = snapshot(folder)

    with (
        pytest.raises(ValueError, match="tensor 'v': .* full shape"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        add_part(writer, 0, 2)
        add_part(writer, 2, 1 if second == {"full": 3} else 2, **second)

    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "options",
    [
        {"num_shards": 0},
        {"num_shards": -1},
        {"num_shards": 1.5},
        {"num_shards": "2"},
        {"num_shards": None},
        {"alignment": 0},
        {"alignment": -64},
        {"alignment": 1.5},
        {"alignment": None},
        {"threads": 0},
        {"threads": -1},
    ],
)
def test_option_out_of_range_is_refused_and_changes_nothing(folder, options):
    before = snapshot(folder)

    with pytest.raises((TypeError, ValueError)):
        fastckpt.write(folder / "m", {"a": np.zeros(3)}, **options)

    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 0}, "num_shards: expected 1 or more, got 0"),
        ({"alignment": 0}, "alignment: expected 1 or more, got 0"),
    ],
)
def test_writer_says_which_option_is_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fastckpt.Writer(tmp_path / "m", **options)


@pytest.mark.parametrize("path", [None, 5, ["m"]])
def test_path_that_is_none_is_a_type_error(path):
    with pytest.raises(TypeError):
        fastckpt.write(path, {"a": 1})
    with pytest.raises(TypeError):
        fastckpt.Writer(path)


@pytest.mark.parametrize("tensors", [[("a", 1)], "ab", None, 5, {"a", "b"}])
def test_tensors_that_are_no_mapping_are_refused(folder, tensors):
    before = snapshot(folder)

    with pytest.raises((TypeError, ValueError)):
        fastckpt.write(folder / "m", tensors)

    assert snapshot(folder) == before


def test_folder_of_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastckpt.write(tmp_path / "a" / "b" / "m", {"a": 1})

    assert list_names(tmp_path) == []


@posix
@pytest.mark.parametrize("length", [220, 240, 255])
def test_name_that_is_too_long_for_a_file_leaves_nothing(tmp_path, length):
    with pytest.raises(OSError, match="too long"):
        fastckpt.write(tmp_path / "new" / ("x" * length), {"a": 1})

    assert list_names(tmp_path) == []


def test_prefix_below_a_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("text")

    with pytest.raises(OSError, match="file"):
        fastckpt.write(tmp_path / "file" / "m", {"a": 1})

    assert snapshot(tmp_path) == {"file": b"text"}


@pytest.mark.parametrize("name", file_names("m", 1))
def test_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()

    with pytest.raises(IsADirectoryError, match=name):
        fastckpt.write(tmp_path / "m", {"a": 1})

    assert list_names(tmp_path) == [name]


@posix
def test_more_shards_than_open_files_leave_nothing(folder):
    code = """
        import resource, sys, fastckpt
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            fastckpt.write(sys.argv[1], {"a": 1}, num_shards=100, sync=False)
        except OSError as error:
            print(error.errno)
    """
    before = snapshot(folder)

    printed = run(code, folder / "m")

    assert printed == f"{errno.EMFILE}\n"
    assert snapshot(folder) == before


# ---- interrupted: by an exception


class Interruption(BaseException):
    pass


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, Interruption])
def test_exception_in_the_block_leaves_what_was_there(folder, error):
    before = snapshot(folder)

    with pytest.raises(error), fastckpt.Writer(folder / "m", num_shards=3) as writer:
        writer.add("a", np.zeros(1_000_000))
        add_part(writer, 0, 2)
        raise error

    assert snapshot(folder) == before


def test_value_that_fails_when_it_is_asked_leaves_what_was_there(folder):
    class Failing:
        def __array__(self, dtype=None, copy=None):
            raise ZeroDivisionError("no value")

    before = snapshot(folder)

    with pytest.raises(ZeroDivisionError):
        fastckpt.write(folder / "m", {"good": 1, "bad": Failing()})

    assert snapshot(folder) == before


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_that_fails_leaves_what_was_there(folder, threads):
    def progress(done, total):
        raise Interruption

    before = snapshot(folder)

    with pytest.raises(Interruption):
        fastckpt.write(
            folder / "m", {"a": np.zeros(300_000), "b": 1}, threads=threads, progress=progress
        )

    assert snapshot(folder) == before


def test_aborted_writer_leaves_what_was_there(folder):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m")
    writer.add("a", np.zeros(100))

    writer.abort()
    writer.abort()
    writer.close()

    assert snapshot(folder) == before
    with pytest.raises(ValueError, match="closed"):
        writer.add("b", 1)


def test_writer_that_is_forgotten_leaves_what_was_there(folder):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m")
    writer.add("a", np.zeros(100))

    del writer
    gc.collect()

    assert snapshot(folder) == before


def test_writer_that_refused_a_tensor_goes_on(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add("a", 1)
        for name, value in (("b", None), ("", 1), ("a", 2), ("c", np.zeros(2, "M8[s]"))):
            with pytest.raises((TypeError, ValueError)):
                writer.add(name, value)
        with pytest.raises(ValueError, match="not within"):
            add_part(writer, 3, 2)
        writer.add("b", 3)

    assert_same(read_all(tmp_path / "m"), {"a": 1, "b": 3})


# ---- interrupted: by the system


FAILING = ("open", "write", "fsync", "replace")


class Faults:
    """Counts calls of os functions, and does something at the n-th."""

    def __init__(self, monkeypatch, names, at, action):
        self.count = 0
        self.at = at
        self.action = action
        self.is_on = True
        self.log = []
        monkeypatch.setattr(os, "fsync", lambda fd: None)  # what it does cannot be seen here
        for name in names:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name, function):
        def wrapped(*args, **options):
            if self.is_on:
                self.count += 1
                self.log.append((name, args if name == "replace" else ()))
                if self.count == self.at:
                    self.is_on = False
                    try:
                        self.action()
                    finally:
                        self.is_on = True
            return function(*args, **options)

        return wrapped


def fill_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


def count_steps(monkeypatch, folder, names=FAILING, **options):
    """How many calls a save makes."""
    with monkeypatch.context() as patch:
        faults = Faults(patch, names, 0, None)
        fastckpt.write(folder / "m", NEW, **options)
    assert faults.count > 10
    return faults.count


@pytest.mark.parametrize("num_shards", [1, 2])
def test_error_at_any_step_never_leaves_a_mixture(tmp_path, monkeypatch, num_shards):
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, num_shards=2, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", num_shards=num_shards)
    outcomes = set()

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, num_shards=2, sync=False)
        before = snapshot(folder)
        with monkeypatch.context() as patch:
            faults = Faults(patch, FAILING, step, fill_disk)
            try:
                fastckpt.write(folder / "m", NEW, num_shards=num_shards)
            except OSError as error:
                assert "No space left" in str(error)
            else:  # what was obsolete stays, and the save is done
                assert faults.log[step - 1][0] == "unlink"
        replaced = [args[1] for name, args in faults.log[: step - 1] if name == "replace"]
        has_new_data = any(".data-" in os.fspath(target) for target in replaced)

        if has_new_data:
            try:
                assert_same(read_all(folder / "m"), NEW)
                outcomes.add("new")
            except FileNotFoundError as error:
                assert "interrupted" in str(error)
                outcomes.add("interrupted")
        else:
            assert snapshot(folder) == before, faults.log[step - 1]
            outcomes.add("old")
        fastckpt.write(folder / "m", NEW, sync=False)
        assert list_names(folder) == file_names("m", 1)
    assert {"old", "interrupted"} <= outcomes


@pytest.mark.parametrize("at", range(1, 5))
def test_interrupt_behind_any_rename_never_leaves_a_mixture(tmp_path, monkeypatch, at):
    fastckpt.write(tmp_path / "m", OLD, num_shards=2, sync=False)
    before = snapshot(tmp_path)
    real_replace = os.replace
    renamed = []

    def replace(source, target):
        real_replace(source, target)
        renamed.append(target)
        if len(renamed) == at:  # as if the signal came while the system call ran
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            fastckpt.write(tmp_path / "m", NEW, num_shards=2, sync=False)

    if at == 1:
        assert snapshot(tmp_path) == before
    elif at < 4:
        with pytest.raises(FileNotFoundError, match="interrupted"):
            fastckpt.read(tmp_path / "m")
    else:
        assert_same(read_all(tmp_path / "m"), NEW)
    fastckpt.write(tmp_path / "m", NEW, sync=False)
    assert list_names(tmp_path) == file_names("m", 1)


@posix
@pytest.mark.parametrize("limit", [1, 5_000, 400_000])
def test_full_disk_leaves_what_was_there(folder, limit):
    code = """
        import errno, resource, sys, numpy, fastckpt
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        tensors = {f"t{i}": numpy.ones(30_000) for i in range(4)}
        try:
            fastckpt.write(sys.argv[1], tensors)
        except OSError as error:
            assert error.errno == errno.EFBIG, error
            print("refused")
        writer = fastckpt.Writer(sys.argv[1], num_shards=2)
        try:
            for i in range(10):
                writer.add(f"t{i}", numpy.ones(30_000))
            writer.close()
        except OSError:
            print("refused")
    """
    before = snapshot(folder)

    assert run(code, folder / "m", str(limit)) == "refused\nrefused\n"
    assert snapshot(folder) == before


def test_writer_is_closed_by_a_failed_write(folder, monkeypatch):
    before = snapshot(folder)
    writer = fastckpt.Writer(folder / "m", sync=False)
    writer.add("a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: fill_disk())
        with pytest.raises(OSError, match="No space left"):
            writer.add("b", np.zeros(100_000))

    with pytest.raises(ValueError, match="closed"):
        writer.add("c", 1)
    assert snapshot(folder) == before


KILLED = """
    import os, signal, sys
    import numpy as np
    import fastckpt

    base, old_shards, new_shards, sync = sys.argv[1], *map(int, sys.argv[2:])
    OLD = {"a": np.arange(5), "b": np.array(b"old"), "c": np.zeros(3)}
    NEW = {"a": np.arange(5) + 100, "b": np.array(b"new"), "c": np.ones(3)}
    NEXT = {"a": np.arange(9)}
    CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "close")

    def die_at(step):
        left = [step]
        os.fsync = lambda fd: None  # only a power loss would show what it does
        def wrap(function):
            def wrapped(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **options)
            return wrapped
        for name in CALLS:
            setattr(os, name, wrap(getattr(os, name)))

    def is_killed(step, save):
        child = os.fork()
        if not child:
            try:
                die_at(step)
                save()
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), "the save failed by itself"
        return os.WTERMSIG(status) == signal.SIGKILL

    def state(prefix):
        try:
            with fastckpt.read(prefix) as checkpoint:
                checkpoint.verify()
                found = {name: checkpoint.get_tensor(name, copy=True) for name in checkpoint}
        except FileNotFoundError as error:
            folder = os.path.dirname(prefix)
            left = os.listdir(folder) if os.path.isdir(folder) else []
            assert not left or "interrupted" in str(error), (left, str(error))
            return "interrupted" if left else "nothing"
        for name, tensors in (("old", OLD), ("new", NEW)):
            if all(np.array_equal(found[key], tensors[key]) for key in tensors):
                assert list(found) == sorted(tensors)
                return name
        raise AssertionError(f"a mixture: {found}")

    outcomes = []
    for step in range(1000):
        prefix = os.path.join(base, str(step), "m")
        if old_shards:
            fastckpt.write(prefix, OLD, num_shards=old_shards, sync=False)
        killed = is_killed(
            step, lambda: fastckpt.write(prefix, NEW, num_shards=new_shards, sync=bool(sync))
        )
        outcomes.append(state(prefix))
        fastckpt.write(prefix, NEXT, sync=False)
        names = sorted(os.listdir(os.path.dirname(prefix)))
        assert names == ["m.data-00000-of-00001", "m.index"], (step, names)
        assert fastckpt.read(prefix)["a"].tolist() == list(range(9))
        if not killed:
            break
    print(*dict.fromkeys(outcomes))
"""


@can_fork
@posix
@pytest.mark.parametrize(
    ("old_shards", "new_shards", "sync", "expected"),
    [
        (0, 1, 1, "nothing interrupted new"),
        (1, 1, 1, "old interrupted new"),
        (1, 1, 0, "old interrupted new"),
        (2, 3, 1, "old interrupted new"),
        (3, 1, 0, "old interrupted new"),
    ],
)
def test_kill_at_any_step_leaves_the_old_none_or_the_new(
    tmp_path, old_shards, new_shards, sync, expected
):
    outcomes = run(KILLED, tmp_path, str(old_shards), str(new_shards), str(sync))

    assert outcomes.split() == expected.split()


# ---- interrupted: by another writer


@posix
@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_writer_that_commits_at_any_point_of_another_one_leaves_one_of_both(
    tmp_path, monkeypatch, first, second
):
    fcntl = pytest.importorskip("fcntl")
    names = (*FAILING, "unlink", "close")
    other = {"a": np.arange(7), "other": np.array(b"b")}
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", names, num_shards=first)
    committed = 0

    def is_locked(folder):
        fd = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, sync=False)

        def commit_other(folder=folder):
            nonlocal committed
            if not is_locked(folder):  # else the other one would wait
                fastckpt.write(folder / "m", other, num_shards=second, sync=False)
                committed += 1

        with monkeypatch.context() as patch:
            Faults(patch, names, step, commit_other)
            fastckpt.write(folder / "m", NEW, num_shards=first)

        found = read_all(folder / "m")
        assert_same(found, other if "other" in found else NEW)
        num_shards = second if "other" in found else first
        assert list_names(folder) == file_names("m", num_shards), f"step {step}"
    assert committed > 5


@posix
def test_files_of_a_living_writer_are_not_taken_for_leftovers(tmp_path):
    first = fastckpt.Writer(tmp_path / "m", sync=False)
    first.add("a", np.arange(3))

    fastckpt.write(tmp_path / "m", OLD, sync=False)
    assert_same(read_all(tmp_path / "m"), OLD)
    first.add("b", 5)
    first.close()

    assert_same(read_all(tmp_path / "m"), {"a": np.arange(3), "b": 5})
    assert list_names(tmp_path) == file_names("m", 1)


@can_fork
@posix
def test_files_of_a_living_writer_in_another_process_are_not_taken_for_leftovers(tmp_path):
    code = """
        import os, sys, fastckpt
        ready, release = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            try:
                with fastckpt.Writer(sys.argv[1], sync=False) as writer:
                    writer.add("a", 1)
                    os.write(ready[1], b"x")
                    os.read(release[0], 1)
                os._exit(0)
            finally:
                os._exit(1)
        os.read(ready[0], 1)
        fastckpt.write(sys.argv[1], {"a": 2}, sync=False)
        print(fastckpt.read(sys.argv[1])["a"])
        os.write(release[1], b"x")
        assert os.waitpid(child, 0)[1] == 0
        print(fastckpt.read(sys.argv[1])["a"], *sorted(os.listdir(os.path.dirname(sys.argv[1]))))
    """

    printed = run(code, tmp_path / "m")

    assert printed.split() == ["2", "1", "m.data-00000-of-00001", "m.index"]


@can_fork
@posix
@pytest.mark.parametrize(
    "leave", ["sys.exit()", "1 / 0", "os.kill(os.getpid(), 9)", "writer.abort()"]
)
def test_forked_child_does_not_take_its_parents_save_down(tmp_path, leave):
    code = f"""
        import os, sys, fastckpt
        is_child = False
        try:
            with fastckpt.Writer(sys.argv[1], sync=False) as writer:
                writer.add("a", 1)
                child = os.fork()
                if not child:
                    is_child = True
                    {leave}
                os.waitpid(child, 0)
                writer.add("b", 2)
        except BaseException:
            if not is_child:
                raise
        finally:
            if is_child:
                os._exit(0)
        print(*fastckpt.load(sys.argv[1]).values())
    """

    assert run(code, tmp_path / "m") == "1 2\n"
    assert list_names(tmp_path) == file_names("m", 1)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_reader_that_opened_the_old_one_never_sees_the_new(tmp_path, monkeypatch, num_shards):
    names = (*FAILING, "unlink")
    (tmp_path / "count").mkdir()
    fastckpt.write(tmp_path / "count" / "m", OLD, sync=False)
    steps = count_steps(monkeypatch, tmp_path / "count", names, num_shards=num_shards)
    seen = set()

    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        fastckpt.write(folder / "m", OLD, sync=False)
        early = fastckpt.read(folder / "m")

        def look(early=early, folder=folder):
            for checkpoint in (early, fastckpt.read(folder / "m")):
                try:
                    assert checkpoint["a"].tolist() in (OLD["a"].tolist(), NEW["a"].tolist())
                    seen.add("early" if checkpoint is early else "late")
                    assert checkpoint is not early or checkpoint["a"][0] == 0
                except (fastckpt.CheckpointError, FileNotFoundError):
                    seen.add("error")

        def try_to_look(look=look):
            try:
                look()
            except FileNotFoundError as error:
                assert "interrupted" in str(error)
                seen.add("interrupted")

        with monkeypatch.context() as patch:
            Faults(patch, names, step, try_to_look)
            fastckpt.write(folder / "m", NEW, num_shards=num_shards)
        with pytest.raises(KeyError):
            fastckpt.read(folder / "m")["old"]
    assert {"early", "late", "interrupted"} <= seen


# ---- the commit


def test_commit_takes_the_old_index_away_first_and_puts_the_new_one_last(tmp_path, monkeypatch):
    fastckpt.write(tmp_path / "m", OLD, num_shards=3, sync=False)
    replaced = []
    real_replace = os.replace

    def replace(source, target):
        replaced.append((os.path.basename(source), os.path.basename(target)))
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(tmp_path / "m", NEW, num_shards=3, sync=False)

    assert replaced[0][0] == "m.index"
    assert [target for _, target in replaced[1:]] == file_names("m", 3)
    assert not {source for source, _ in replaced[1:]} & set(file_names("m", 3))


def test_nothing_has_its_final_name_before_the_commit(tmp_path):
    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        for i in range(10):
            writer.add(str(i), np.zeros(100_000))
            assert not set(list_names(tmp_path)) & set(file_names("m", 2))
            with pytest.raises(FileNotFoundError):
                fastckpt.read(tmp_path / "m")


@linux
@pytest.mark.parametrize("num_shards", [1, 3])
def test_every_file_is_durable_before_it_is_renamed_and_the_folder_after(
    tmp_path, monkeypatch, num_shards
):
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(fd):
        events.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
        real_fsync(fd)

    def replace(source, target):
        events.append(("replace", os.path.basename(source)))
        real_replace(source, target)

    folder = tmp_path / "folder"
    folder.mkdir()
    fastckpt.write(folder / "m", OLD, num_shards=num_shards, sync=False)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    fastckpt.write(folder / "m", NEW, num_shards=num_shards)

    renamed = [name for kind, name in events if kind == "replace"]
    assert len(renamed) == num_shards + 2
    for name in renamed[1:]:  # the first is the old index
        assert events.index(("fsync", name)) < events.index(("replace", "m.index"))
    first, last = (events.index(("replace", name)) for name in (renamed[0], renamed[-1]))
    assert ("fsync", "folder") in events[first : events.index(("replace", renamed[1]))]
    assert ("fsync", "folder") in events[last:]


@linux
def test_new_folder_is_durable_too(tmp_path, monkeypatch):
    synced = []
    real_fsync = os.fsync

    def fsync(fd):
        synced.append(os.path.realpath(os.readlink(f"/proc/self/fd/{fd}")))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    fastckpt.write(tmp_path / "new" / "m", NEW)

    assert {os.path.realpath(tmp_path), os.path.realpath(tmp_path / "new")} <= set(synced)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_nothing_is_synced_if_not_asked_for(tmp_path, monkeypatch, num_shards):
    def fsync(fd):
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(2):
        fastckpt.write(tmp_path / "new" / "m", NEW, num_shards=num_shards, sync=False)

    assert_same(read_all(tmp_path / "new" / "m"), NEW)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (5, 2), (2, 2)])
def test_shards_of_an_older_commit_are_removed(tmp_path, before, after):
    fastckpt.write(tmp_path / "m", OLD, num_shards=before, sync=False)
    others = ["m.data-00000-of-00001x", "m.meta", "m2.data-00000-of-00007", "m.txt", "xm.index"]
    for name in others:
        (tmp_path / name).touch()

    fastckpt.write(tmp_path / "m", NEW, num_shards=after, sync=False)

    assert list_names(tmp_path) == sorted([*file_names("m", after), *others])
    assert_same(read_all(tmp_path / "m"), NEW)


def test_saving_many_times_leaves_one_checkpoint(tmp_path):
    for i in range(10):
        fastckpt.write(tmp_path / "m", {"i": i}, num_shards=1 + i % 3, sync=False)

    assert read_all(tmp_path / "m")["i"] == 9
    assert list_names(tmp_path) == file_names("m", 1)


# ---- files


def test_one_missing_folder_is_made(tmp_path):
    fastckpt.write(tmp_path / "new" / "m", NEW, sync=False)

    assert list_names(tmp_path / "new") == file_names("m", 1)


@pytest.mark.parametrize(
    "base", ["", "m-1000", "we[ird]*?", "ü 重み", ".hidden", "a.index", "a.b.c"]
)
def test_prefix_of_any_form_is_written_and_read(tmp_path, base):
    prefix = os.path.join(tmp_path, base)

    fastckpt.write(prefix, NEW, num_shards=2, sync=False)
    fastckpt.write(prefix, NEW, sync=False)

    assert sorted(os.listdir(tmp_path)) == file_names(base, 1)
    assert_same(read_all(prefix), NEW)


@pytest.mark.parametrize("convert", [str, os.fsencode, lambda path: path])
def test_path_of_any_type_is_taken(tmp_path, convert):
    fastckpt.write(convert(tmp_path / "m"), NEW, sync=False)

    assert_same(read_all(convert(tmp_path / "m")), NEW)


def test_checkpoint_without_tensors_is_written(tmp_path):
    fastckpt.write(tmp_path / "m", {}, sync=False)
    with fastckpt.Writer(tmp_path / "n", num_shards=2, sync=False):
        pass

    assert list_names(tmp_path) == [*file_names("m", 1), *file_names("n", 2)]
    assert read_all(tmp_path / "m") == read_all(tmp_path / "n") == {}


def test_data_is_in_call_order_and_names_are_in_key_order(tmp_path):
    names = ["b", "a", "c", "ü", "Z"]

    fastckpt.write(tmp_path / "m", {name: np.zeros(4) for name in names}, alignment=1, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == sorted(names, key=str.encode)
        assert [checkpoint.info(name).offset for name in names] == [0, 32, 64, 96, 128]


@pytest.mark.parametrize("num_shards", [1, 2, 4, 7])
def test_shards_are_balanced(tmp_path, num_shards):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5000, 200)

    fastckpt.write(
        tmp_path / "m",
        {f"t{i}": np.zeros(size, np.uint8) for i, size in enumerate(sizes)},
        num_shards=num_shards,
        alignment=1,
        sync=False,
    )

    shards = [os.path.getsize(tmp_path / name) for name in file_names("m", num_shards)[:-1]]
    assert sum(shards) == sizes.sum()
    assert max(shards) - min(shards) <= sizes.max()
    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert {info.shard for info in checkpoint.infos()} == set(range(num_shards))
        checkpoint.verify()


@pytest.mark.parametrize("alignment", [1, 2, 3, 16, 64, 4096])
@pytest.mark.parametrize("num_shards", [1, 2])
def test_every_tensor_is_aligned(tmp_path, alignment, num_shards):
    with fastckpt.Writer(
        tmp_path / "m", num_shards=num_shards, alignment=alignment, sync=False
    ) as writer:
        for i in range(5):
            writer.add(f"byte{i}", np.uint8(i))
            writer.add(f"string{i}", b"x" * (7 * i))
            writer.add(f"empty{i}", np.zeros((0, 3)))
            writer.add(f"double{i}", np.arange(i + 1.0))
            add_part(writer, 0, 3, name=f"part{i}")
            add_part(writer, 3, 1, name=f"part{i}")
            writer.add(f"large{i}", np.zeros(300_001, np.uint8))

    sizes = [os.path.getsize(tmp_path / name) for name in file_names("m", num_shards)[:-1]]
    assert all(size % alignment == 0 for size in sizes)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        checkpoint.verify()
        for info in checkpoint.infos():
            if info.slices:
                entries = [entry for _, entry, _ in checkpoint._parts(info.name)]
                assert all(entry.offset % alignment == 0 for entry in entries)
                continue
            assert info.offset % alignment == 0, info
            if alignment == 64 and info.tf_dtype != "string":
                assert checkpoint[info.name].flags.aligned


def test_padding_is_zeros_and_not_part_of_the_tensor(tmp_path):
    fastckpt.write(tmp_path / "m", {"a": np.full(3, 255, np.uint8), "b": b"x"}, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert len(data) == 128
    assert data[:3] == b"\xff" * 3
    assert data[3:64] == bytes(61)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert [info.nbytes for info in checkpoint.infos()] == [3, 6]


def test_no_byte_lies_between_packed_tensors(tmp_path):
    tensors = {"a": np.uint8(1), "b": np.arange(3.0), "c": np.uint8(2)}

    fastckpt.write(tmp_path / "m", tensors, alignment=1, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert data == b"\1" + np.arange(3.0).tobytes() + b"\2"


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_threads_do_not_change_the_files(tmp_path, threads):
    rng = np.random.default_rng(1)
    tensors = {f"t{i}": rng.random(150_000) for i in range(5)}
    fastckpt.write(tmp_path / "one", tensors, threads=1, sync=False)

    fastckpt.write(tmp_path / "two", tensors, threads=threads, sync=False)

    for suffix in (".index", ".data-00000-of-00001"):
        one, two = ((tmp_path / (base + suffix)).read_bytes() for base in ("one", "two"))
        assert one == two


def test_progress_rises_to_the_total(tmp_path):
    calls = []

    fastckpt.write(
        tmp_path / "m",
        {"a": np.zeros(1000), "b": np.zeros((2, 3), np.int8), "c": np.zeros((0, 2))},
        progress=lambda done, total: calls.append((done, total)),
        sync=False,
    )

    assert calls[-1] == (8006, 8006)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {8006}


def test_closing_twice_commits_once(tmp_path):
    writer = fastckpt.Writer(tmp_path / "m", sync=False)
    writer.add("a", 1)

    writer.close()
    before = os.stat(tmp_path / "m.index").st_mtime_ns
    writer.close()
    writer.abort()

    assert os.stat(tmp_path / "m.index").st_mtime_ns == before
    assert read_all(tmp_path / "m")["a"] == 1
    with pytest.raises(ValueError, match="closed"):
        writer.add("b", 1)


@linux
def test_streaming_takes_the_memory_of_one_tensor(tmp_path):
    code = """
        import os, sys
        import numpy as np
        import fastckpt

        def peak():
            with open("/proc/self/status") as status:
                return int(status.read().split("VmHWM:")[1].split()[0]) << 10

        size = 8 << 20
        fastckpt.write(sys.argv[1], {"warm": np.ones(size, np.uint8)}, sync=False)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = peak()
        with fastckpt.Writer(sys.argv[1], num_shards=2, sync=False) as writer:
            for i in range(40):
                writer.add(f"t{i}", np.full(size // 8, i, np.float64)[:: -1 if i % 2 else 1])
            for i in range(4):
                part = np.full((1, size // 4), i, np.float32)
                writer.add_slice("v", part, full_shape=(4, size // 4), start=(i, 0))
        print((peak() - before) / size)
    """

    tensors = float(run(code, tmp_path / "m"))

    assert tensors < 3


# ---- values


class WithArray:
    def __array__(self, dtype=None, copy=None):
        return np.arange(3, dtype=np.int16)


class WithDlpack:
    def __dlpack__(self, **options):
        return np.arange(6.0).reshape(2, 3).__dlpack__(**options)

    def __dlpack_device__(self):
        return np.arange(6.0).__dlpack_device__()


def read_only(array):
    array.flags.writeable = False
    return array


BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
VALUES = {
    "C order": (BASE, BASE),
    "F order": (np.asfortranarray(BASE), BASE),
    "transposed": (BASE.T, BASE.T),
    "strided": (BASE[::2, 1::2], BASE[::2, 1::2]),
    "negative strides": (BASE[::-1, ::-1], BASE[::-1, ::-1]),
    "broadcast": (np.broadcast_to(np.int8(3), (2, 2)), np.full((2, 2), 3, np.int8)),
    "big-endian": (BASE.astype(">f4"), BASE),
    "big-endian, F order": (np.asfortranarray(BASE.astype(">f4")), BASE),
    "big-endian complex": (np.array([1 + 2j], ">c16"), np.array([1 + 2j])),
    "0-d": (np.array(5, np.int16), np.array(5, np.int16)),
    "read-only": (read_only(BASE.copy()), BASE),
    "unaligned": (np.frombuffer(b"x" + BASE.tobytes(), "f4", offset=1), BASE.ravel()),
    "empty": (np.zeros((0, 3), np.uint16), np.zeros((0, 3), np.uint16)),
    "empty, F order": (np.zeros((3, 0), order="F"), np.zeros((3, 0))),
    "bool": (np.array([True, False]), np.array([True, False])),
    "int": (5, np.array(5, np.int64)),
    "float": (0.5, np.array(0.5)),
    "complex": (1j, np.array(1j)),
    "True": (True, np.array(True)),
    "NumPy scalar": (np.float16(1.5), np.array(1.5, np.float16)),
    "list": ([1, 2], np.array([1, 2])),
    "nested lists": ([[1.0], [2.0]], np.array([[1.0], [2.0]])),
    "empty list": ([], np.array([])),
    "tuple": ((1, 2), np.array([1, 2])),
    "memoryview": (memoryview(b"ab"), np.array([97, 98], np.uint8)),
    "bytearray": (bytearray(b"ab"), np.array([97, 98], np.uint8)),
    "__array__": (WithArray(), np.arange(3, dtype=np.int16)),
    "__dlpack__": (WithDlpack(), np.arange(6.0).reshape(2, 3)),
    "matrix of one row": (BASE[:1], BASE[:1]),
    "masked": (np.ma.masked_array([1, 2]), np.array([1, 2])),
    "bfloat16": (np.ones(3, ml_dtypes.bfloat16), np.ones(3, ml_dtypes.bfloat16)),
    "32 dimensions": (np.zeros((1,) * 32), np.zeros((1,) * 32)),
    "large": (np.arange(200_000), np.arange(200_000)),
    "large, negative strides": (np.arange(200_000)[::-1], np.arange(200_000)[::-1]),
    "bytes": (b"a\0b\0", mixed(b"a\0b\0").reshape(())),
    "str": ("ü", mixed("ü".encode()).reshape(())),
    "empty bytes": (b"", mixed(b"").reshape(())),
    "list of bytes": ([b"a\0\0", b"", b"\0"], mixed(b"a\0\0", b"", b"\0")),
    "list of str": (["a\0", "ü"], mixed(b"a\0", "ü".encode())),
    "S array": (np.array([b"a", b"bcd"]), mixed(b"a", b"bcd")),
    "U array": (np.array([["ü", "bcd"]]), mixed("ü".encode(), b"bcd").reshape(1, 2)),
    "NumPy bytes": (np.bytes_(b"ab"), mixed(b"ab").reshape(())),
    "NumPy str": (np.str_("ab"), mixed(b"ab").reshape(())),
    "objects": (mixed(b"a\0", "b"), mixed(b"a\0", b"b")),
    "objects, strided": (mixed(b"a", b"b", b"c")[::-2], mixed(b"c", b"a")),
    "no strings": (np.empty((0, 2), object), np.empty((0, 2), object)),
    "long strings": ([b"x" * 300_000, "y" * 200], mixed(b"x" * 300_000, b"y" * 200)),
}
if hasattr(np.dtypes, "StringDType"):
    VALUES["StringDType"] = (
        np.array(["a", "ü" * 100, ""], dtype=np.dtypes.StringDType()),
        mixed(b"a", ("ü" * 100).encode(), b""),
    )


@pytest.mark.parametrize("alignment", [1, 64])
@pytest.mark.parametrize("case", VALUES)
def test_value_arrives_as_it_is(tmp_path, case, alignment):
    value, expected = VALUES[case]

    fastckpt.write(tmp_path / "m", {"before": b"x", "v": value}, alignment=alignment, sync=False)

    with fastckpt.read(tmp_path / "m", verify=True) as checkpoint:
        for copy in (None, True):
            found = checkpoint.get_tensor("v", copy=copy)
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            assert found.tolist() == expected.tolist()
        checkpoint.verify()


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"])
@pytest.mark.parametrize("count", [3, 9000])
def test_unused_bits_are_zero_in_the_file_and_in_the_checksum(tmp_path, name, count):
    raw = np.resize(np.arange(256, dtype=np.uint8)[::-1], count)
    value = raw.view(getattr(ml_dtypes, name))
    mask = 0x03 if name.endswith("2") else 0x0F

    fastckpt.write(tmp_path / "m", {"v": value}, alignment=1, sync=False)

    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert data == (raw & mask).tobytes()
    with fastckpt.read(tmp_path / "m", verify=True) as checkpoint:
        assert checkpoint.info("v").tf_dtype == name
        assert checkpoint["v"].tobytes() == data


@pytest.mark.parametrize(
    "name",
    ["bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz",
     "float8_e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"],
)  # fmt: skip
def test_type_of_ml_dtypes_keeps_its_bits(tmp_path, name):
    value = np.array([0, 1, 1, 0]).astype(getattr(ml_dtypes, name)).reshape(2, 2)

    fastckpt.write(tmp_path / "m", {"v": value.T, "scalar": value[0, 1]}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint.info("v").tf_dtype == checkpoint.info("scalar").tf_dtype == name
        assert checkpoint["v"].dtype == value.dtype
        assert checkpoint["v"].tobytes() == value.T.tobytes()
        assert checkpoint["scalar"].shape == ()


@pytest.mark.parametrize(
    "name", ["a", "a/b/c:0", " ", "\0", "\0a", "a\nb", "ü/重み", "\udcff", "\udc80a", "x" * 5000]
)
def test_name_of_any_bytes_arrives_as_it_is(tmp_path, name):
    fastckpt.write(tmp_path / "m", {name: 1}, sync=False)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == [name]
        assert checkpoint[name] == 1


def test_name_that_is_a_kind_of_str_is_taken(tmp_path):
    class Name(str):
        pass

    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add(np.str_("a"), 1)
        writer.add(Name("b"), 2)
        writer.add_slice(np.str_("c"), np.zeros(1), full_shape=(2,), start=(0,))
        writer.add_slice(Name("c"), np.zeros(1), full_shape=(2,), start=(1,))

    assert list(read_all(tmp_path / "m")) == ["a", "b", "c"]


def test_checkpoint_is_a_mapping_that_can_be_written(tmp_path):
    fastckpt.write(tmp_path / "m", NEW, sync=False)
    with fastckpt.read(tmp_path / "m") as checkpoint:
        fastckpt.write(tmp_path / "n", checkpoint, num_shards=2, sync=False)
        fastckpt.write(tmp_path / "m", checkpoint, num_shards=2, sync=False)

    assert_same(read_all(tmp_path / "n"), NEW)
    assert_same(read_all(tmp_path / "m"), NEW)


# ---- slices


def test_slices_in_any_order_between_other_tensors_are_assembled(tmp_path):
    whole = np.arange(35.0).reshape(5, 7)
    boxes = [(slice(3, 5), slice(0, 7)), (slice(0, 3), slice(4, 7)), (slice(0, 3), slice(0, 4))]

    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        for i, box in enumerate(boxes):
            start = tuple(part.start for part in box)
            writer.add_slice("v", whole[box], full_shape=whole.shape, start=start)
            writer.add(f"between{i}", i)

    with fastckpt.read(tmp_path / "m") as checkpoint:
        np.testing.assert_array_equal(checkpoint["v"], whole)
        assert checkpoint.info("v").slices == tuple(boxes)
        assert list(checkpoint) == ["between0", "between1", "between2", "v"]
        checkpoint.verify()


def test_slice_that_is_the_whole_makes_a_plain_tensor(tmp_path):
    fastckpt.write(tmp_path / "plain", {"v": np.arange(4.0)}, sync=False)
    with fastckpt.Writer(tmp_path / "sliced", sync=False) as writer:
        writer.add_slice("v", np.arange(4.0), full_shape=(4,), start=(0,))

    one, two = ((tmp_path / f"{base}.index").read_bytes() for base in ("plain", "sliced"))
    assert one == two


def test_start_of_none_stands_for_a_whole_dimension(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        for i in range(2):
            writer.add_slice("v", np.full((1, 3), i), full_shape=(2, 3), start=(i, None))

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint["v"].tolist() == [[0] * 3, [1] * 3]
        assert checkpoint._entry("v").slices == (((0, 1), (0, -1)), ((1, 1), (0, -1)))


def test_slices_of_integers_of_numpy_are_taken(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        for i in np.arange(2):
            writer.add_slice("v", np.full(1, i), full_shape=np.array([2]), start=[i])

    assert read_all(tmp_path / "m")["v"].tolist() == [0, 1]


def test_slices_of_strings_are_assembled(tmp_path):
    with fastckpt.Writer(tmp_path / "m", sync=False) as writer:
        writer.add_slice("v", [b"a", b"bc"], full_shape=(3,), start=(0,))
        writer.add_slice("v", ["d" * 200], full_shape=(3,), start=(2,))

    assert read_all(tmp_path / "m")["v"].tolist() == [b"a", b"bc", b"d" * 200]


# ---- tensors from another checkpoint


def test_tensor_that_is_not_there_is_not_added(folder):
    before = snapshot(folder)
    fastckpt.write(folder / "source", OLD, sync=False)

    with (
        fastckpt.read(folder / "source") as source,
        pytest.raises(fastckpt.TensorNotFoundError, match="none"),
        fastckpt.Writer(folder / "m") as writer,
    ):
        writer.add_from(source, "none")

    for name in file_names("source", 1):
        (folder / name).unlink()
    assert snapshot(folder) == before


@pytest.mark.parametrize("source", ["path", None, {"a": 1}])
def test_source_that_is_no_checkpoint_is_a_type_error(tmp_path, source):
    with pytest.raises(TypeError), fastckpt.Writer(tmp_path / "m") as writer:
        writer.add_from(source, "a")

    assert list_names(tmp_path) == []


def test_closed_source_is_a_value_error(tmp_path):
    fastckpt.write(tmp_path / "source", OLD, sync=False)
    source = fastckpt.read(tmp_path / "source")
    source.close()

    with pytest.raises(ValueError, match="closed"), fastckpt.Writer(tmp_path / "m") as writer:
        writer.add_from(source, "a")


@pytest.mark.parametrize("name", ["", "\ud800", "there"])
def test_new_name_is_checked(tmp_path, name):
    fastckpt.write(tmp_path / "source", OLD, sync=False)

    with (
        fastckpt.read(tmp_path / "source") as source,
        pytest.raises(ValueError, match="name|tensor"),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        writer.add("there", 1)
        writer.add_from(source, "a", name=name)

    assert list_names(tmp_path) == file_names("source", 1)


@pytest.mark.parametrize("name", ["a", "old"])
def test_damaged_tensor_is_not_carried_over(tmp_path, name):
    fastckpt.write(tmp_path / "source", OLD, sync=False)
    shard = tmp_path / "source.data-00000-of-00001"
    with fastckpt.read(tmp_path / "source") as source:
        info = source.info(name)
    data = bytearray(shard.read_bytes())
    data[info.offset + info.nbytes - 1] ^= 1
    shard.write_bytes(data)

    with (
        fastckpt.read(tmp_path / "source") as source,
        pytest.raises(fastckpt.ChecksumError, match=name),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        writer.add_from(source, name)

    assert list_names(tmp_path) == file_names("source", 1)


def carry_over(source, prefix, names=None, **options):
    with fastckpt.Writer(prefix, sync=False, **options) as writer:
        for name in source if names is None else names:
            writer.add_from(source, name)


CARRIED = [
    "tf1_dtypes/model.ckpt",
    "tf1_strings/model.ckpt",
    "tf1_partitioned/model.ckpt",
    "tf1_slices_2d/model.ckpt",
    "tf1_sharded/model.ckpt-7",
    "tf2_dtypes/ckpt",
    "tf2_variant/ckpt",
    "tf2_empty/zero",
    "crafted_snappy/ckpt",
]


@pytest.mark.parametrize("case", CARRIED)
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_tensors_are_carried_over_with_bytes_checksum_and_slices(golden, tmp_path, case, backend):
    with fastckpt.read(golden / case, backend=backend) as source:
        carry_over(source, tmp_path / "m", num_shards=2)
        expected = {info.name: info for info in source.infos()}
        raw = {
            name: [(box, entry.crc32c, file.read(entry.offset, entry.size, ""))
                   for box, entry, file in source._parts(name)]
            for name in source
        }  # fmt: skip

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert list(checkpoint) == list(expected)
        for info in checkpoint.infos():
            other = expected[info.name]
            for field in ("dtype", "tf_dtype", "shape", "nbytes", "crc32c", "slices"):
                assert getattr(info, field) == getattr(other, field)
            parts = checkpoint._parts(info.name)
            assert raw[info.name] == [
                (box, entry.crc32c, file.read(entry.offset, entry.size, ""))
                for box, entry, file in parts
            ]
        checkpoint.verify()


def test_tensors_are_carried_over_under_other_names(golden, tmp_path):
    with (
        fastckpt.read(golden / "tf1_partitioned" / "model.ckpt") as source,
        fastckpt.Writer(tmp_path / "m", sync=False) as writer,
    ):
        expected = {f"new/{name}": source.get_tensor(name, copy=True) for name in source}
        for name in source:
            writer.add_from(source, name, name=f"new/{name}")
            writer.add_from(source, name, name=f"twice/{name}")

    found = read_all(tmp_path / "m")
    assert len(found) == 2 * len(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(found[name.replace("new/", "twice/")], value)


def test_tensors_of_a_big_endian_checkpoint_are_carried_over(golden, tmp_path):
    with fastckpt.read(golden / "crafted_big_endian" / "ckpt") as source:
        expected = {name: source.get_tensor(name) for name in source}
        dtypes = {info.name: info.tf_dtype for info in source.infos()}
        carry_over(source, tmp_path / "m")

    with fastckpt.read(tmp_path / "m") as checkpoint:
        assert checkpoint.byteorder == "little"
        assert {info.name: info.tf_dtype for info in checkpoint.infos()} == dtypes
        checkpoint.verify()
    for name, value in read_all(tmp_path / "m").items():
        np.testing.assert_array_equal(value, expected[name])


def test_tensors_are_carried_over_onto_their_own_checkpoint(tmp_path):
    fastckpt.write(tmp_path / "m", OLD | NEW, num_shards=2, sync=False)

    with fastckpt.read(tmp_path / "m") as source:
        carry_over(source, tmp_path / "m", list(NEW))

    assert_same(read_all(tmp_path / "m"), NEW)
    assert list_names(tmp_path) == file_names("m", 1)


def test_partition_is_completed_with_slices_from_elsewhere(golden, tmp_path):
    with fastckpt.Writer(tmp_path / "whole", sync=False) as writer:
        add_part(writer, 0, 2)
        add_part(writer, 2, 2)

    with (
        fastckpt.read(tmp_path / "whole") as source,
        pytest.raises(ValueError, match="tensor 'v'"),
        fastckpt.Writer(tmp_path / "m") as writer,
    ):
        add_part(writer, 0, 2)
        writer.add_from(source, "v")

    assert list_names(tmp_path) == file_names("whole", 1)


@pytest.mark.parametrize("spelling", ["{}//m", "{}/./m", "{}/../{}/m", "{}/x/../m"])
def test_odd_spelling_of_the_path_loses_no_data_file(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d" / "x").mkdir(parents=True)
    path = spelling.format("d", "d")

    for value in (1, 2):
        fastckpt.write(path, {"v": np.full(3, value)}, num_shards=value)

    assert fastckpt.read(path)["v"].tolist() == [2, 2, 2]
    names = {name for name in os.listdir("d") if name != "x"}
    assert names == {"m.index", "m.data-00000-of-00002", "m.data-00001-of-00002"}


def test_missing_folder_is_made_in_an_odd_spelling(tmp_path):
    fastckpt.write(f"{tmp_path}/new/./m", {"v": 1})

    assert fastckpt.read(tmp_path / "new" / "m")["v"] == 1
