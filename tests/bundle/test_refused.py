"""What a writer refuses, and that nothing changes by it."""

import errno

import numpy as np
import pytest
from fresh import run
from writing import add_part, file_names, list_names, mixed, posix, snapshot

import fastckpt

# ---- refused: names, values, options


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
