"""Regions of arrays, each compared with what NumPy or a count of every element says."""

import itertools
import random

import numpy as np
import pytest

from fastckpt.format.slices import (
    WHOLE,
    Region,
    byte_runs,
    compare_pairs,
    find_tiling_fault,
    overlap,
    parse_index,
    resolve,
    to_slices,
)

# ---- stored slices


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((), (1,)),
        (((0, 1),), ()),
        (((0, 1), (0, 1)), (5,)),
        (((0, 6),), (5,)),
        (((1, 5),), (5,)),
        (((5, 1),), (5,)),
        (((6, 0),), (5,)),
        (((-1, 2),), (5,)),
        (((1, WHOLE),), (5,)),
        (((0, -2),), (5,)),
        (((0, 1),), (0,)),
        (((1 << 62, 1 << 62),), (5,)),
        (((1, (1 << 63) - 1),), ((1 << 63) - 1,)),
        (((0, 2), (0, 9)), (2, 3)),
    ],
)
def test_slice_that_does_not_fit_is_none(box, shape):
    assert resolve(box, shape) is None


@pytest.mark.parametrize(
    ("box", "shape", "resolved"),
    [
        ((), (), ()),
        (((0, WHOLE),), (5,), ((0, 5),)),
        (((0, WHOLE),), (0,), ((0, 0),)),
        (((0, 2), (0, WHOLE)), (5, 4), ((0, 2), (0, 4))),
        (((4, 1),), (5,), ((4, 1),)),
        (((5, 0),), (5,), ((5, 0),)),
    ],
)
def test_slice_that_fits_is_spelt_out(box, shape, resolved):
    assert resolve(box, shape) == resolved


def test_box_indexes_its_part_of_the_array():
    array = np.arange(20).reshape(5, 4)

    assert to_slices(((2, 3), (1, 2))) == (slice(2, 5), slice(1, 3))
    np.testing.assert_array_equal(array[to_slices(((2, 3), (1, 2)))], array[2:5, 1:3])


# ---- tiling


def count_coverage(shape, boxes):
    covered = np.zeros(shape, int)
    for box in boxes:
        covered[to_slices(box)] += 1
    return covered


def cut(shape, rng):
    """Boxes that tile a shape: it is halved at random places."""
    boxes = [tuple((0, dim) for dim in shape)]
    for _ in range(rng.randrange(6)):
        box = boxes.pop(rng.randrange(len(boxes)))
        axis = rng.randrange(len(shape))
        start, length = box[axis]
        at = rng.randint(0, length)
        for part in ((start, at), (start + at, length - at)):
            boxes.append((*box[:axis], part, *box[axis + 1 :]))
    rng.shuffle(boxes)
    return boxes


def test_no_slices_leave_a_hole():
    assert find_tiling_fault((2, 3), []) == "no slice holds the element at [0, 0]"


def test_hole_is_told_with_its_place():
    boxes = [((0, 2), (0, 3)), ((2, 2), (0, 2))]

    assert find_tiling_fault((4, 3), boxes) == "no slice holds the element at [2, 2]"


def test_overlap_is_told_with_the_slice():
    boxes = [((0, 2), (0, 3)), ((1, 3), (0, 3))]

    assert find_tiling_fault((4, 3), boxes) == "the slice 1,3:0,3 overlaps another one"


def test_slice_twice_is_an_overlap():
    assert "overlaps" in find_tiling_fault((4,), [((0, 4),), ((0, 4),)])


def has_no_empty_twice(boxes):
    empty = [box for box in boxes if 0 in (length for _, length in box)]
    return len(set(empty)) == len(empty)


@pytest.mark.parametrize("seed", range(200))
def test_fault_is_found_where_a_count_of_every_element_finds_one(seed):
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(1, 3)))
    boxes = cut(shape, rng)
    assert (find_tiling_fault(shape, boxes) is None) == has_no_empty_twice(boxes)
    assert compare_pairs(shape, boxes) is None

    for _ in range(10):
        broken = list(boxes)
        place = rng.randrange(len(broken))
        change = rng.choice(["drop", "repeat", "move"])
        if change == "drop":
            broken.pop(place)
        elif change == "repeat":
            broken.append(broken[place])
        else:
            broken[place] = tuple(
                (start, rng.randint(0, dim - start))
                for (start, _), dim in zip(broken[place], shape, strict=True)
            )
        is_exact = (count_coverage(shape, broken) == 1).all()
        assert (compare_pairs(shape, broken) is None) == is_exact
        assert (find_tiling_fault(shape, broken) is None) == (
            is_exact and has_no_empty_twice(broken)
        )


def test_array_without_elements_is_covered_by_anything():
    assert find_tiling_fault((0, 5), []) is None
    assert find_tiling_fault((3, 0), [((0, 3), (0, 0))]) is None


def test_scalar_is_covered_by_the_empty_box():
    assert find_tiling_fault((), [()]) is None
    assert find_tiling_fault((), []) is not None
    assert find_tiling_fault((), [(), ()]) is not None


def test_large_dimensions_cost_nothing():
    large = 1 << 40

    assert find_tiling_fault((large, large), [((0, large), (0, large))]) is None
    assert "overlaps" in find_tiling_fault((large,), [((0, large),), ((large - 1, 1),)])


# ---- indices


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (5, IndexError, "index 5 is out of bounds for axis 0 with size 5"),
        (-6, IndexError, "index -6 is out of bounds for axis 0 with size 5"),
        ((0, 4), IndexError, "index 4 is out of bounds for axis 1 with size 4"),
        ((0, 0, 0), IndexError, "too many indices"),
        ((..., ...), IndexError, "single ellipsis"),
        ([0, 1], TypeError, "list"),
        (np.array([0, 1]), TypeError, "scalar"),
        (True, TypeError, "bool"),
        (np.bool_(True), TypeError, "bool"),
        (1.0, TypeError, "float"),
        ("name", TypeError, "str"),
        ((0, "name"), TypeError, "str"),
        (slice(None, None, 0), ValueError, "zero"),
        (slice(0, 2.5), TypeError, "slice indices must be integers"),
    ],
)
def test_index_that_is_not_basic_or_does_not_fit_is_refused(index, error, message):
    with pytest.raises(error, match=message):
        parse_index(index, (5, 4))


PARTS = [
    0, -1, 2, np.int64(1), slice(None), slice(1, None), slice(None, -1), slice(None, None, 2),
    slice(None, None, -1), slice(-1, 0, -2), slice(3, 1), slice(1, 100), slice(-100, 2), ..., None,
]  # fmt: skip


def all_indices():
    """Every index of up to two parts, and a sample of longer ones."""
    rng = random.Random(0)
    yield ()
    yield from PARTS
    yield from itertools.product(PARTS, repeat=2)
    for _ in range(700):
        yield tuple(rng.choices(PARTS, k=rng.randint(3, 5)))


def is_valid(index, array):
    try:
        array[index]
    except IndexError:
        return False
    return True


def test_every_basic_index_gives_what_numpy_gives():
    arrays = [np.arange(60).reshape(5, 4, 3), np.arange(5), np.array(7), np.empty((3, 0))]
    checked = 0
    for array in arrays:
        for index in all_indices():
            if not is_valid(index, array):
                with pytest.raises(IndexError):
                    parse_index(index, array.shape)
                continue

            selection = parse_index(index, array.shape)

            starts, counts, steps = selection.region
            assert all(step > 0 for step in steps)
            ranges = [range(a, a + n * s, s) for a, n, s in zip(*selection.region, strict=True)]
            region = array[np.ix_(*ranges)].reshape(counts) if array.ndim else array
            result = region[selection.then]
            np.testing.assert_array_equal(result, array[index])
            assert np.shape(result) == np.shape(array[index])
            checked += 1
    assert checked > 500


# ---- what of a region a slice holds


@pytest.mark.parametrize("seed", range(100))
def test_overlap_is_what_both_have(seed):
    rng = random.Random(seed)
    dim = rng.randint(1, 12)
    start, step = rng.randrange(dim), rng.randint(1, 4)
    count = rng.randint(0, (dim - 1 - start) // step + 1)
    box_start = rng.randint(0, dim)
    box = ((box_start, rng.randint(0, dim - box_start)),)
    wanted = list(range(start, start + count * step, step))
    held = [i for i in wanted if box_start <= i < box_start + box[0][1]]

    shared = overlap(Region((start,), (count,), (step,)), box)

    if not held:
        assert shared is None
        return
    inner, (place,) = shared
    inside = range(inner.starts[0], inner.starts[0] + inner.counts[0] * step, inner.steps[0])
    assert [box_start + i for i in inside] == held
    assert wanted[place] == held


def test_overlap_of_scalars_is_the_scalar():
    assert overlap(Region((), (), ()), ()) == (Region((), (), ()), ())


# ---- what to read


@pytest.mark.parametrize("seed", range(150))
def test_runs_hold_the_region(seed):
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 6) for _ in range(rng.randint(0, 4)))
    item_size = rng.choice([1, 4, 4096])
    starts = tuple(rng.randrange(dim) for dim in shape)
    steps = tuple(rng.randint(1, 3) for _ in shape)
    counts = tuple(
        rng.randint(1, (dim - 1 - a) // s + 1)
        for dim, a, s in zip(shape, starts, steps, strict=True)
    )
    items = np.arange(int(np.prod(shape))).reshape(shape)
    ranges = [range(a, a + n * s, s) for a, n, s in zip(starts, counts, steps, strict=True)]
    expected = items[np.ix_(*ranges)].ravel() if shape else items.ravel()

    runs = byte_runs(Region(starts, counts, steps), shape, item_size)

    found = []
    for offset in runs.offsets:
        assert 0 <= offset <= offset + runs.size <= items.size * item_size
        for place in itertools.product(*map(range, runs.shape)):
            at = sum(i * stride for i, stride in zip(place, runs.strides, strict=True))
            assert at + item_size <= runs.size
            found.append((offset + at) // item_size)
            assert (offset + at) % item_size == 0
    assert found == expected.tolist()


def test_rows_that_lie_together_are_read_at_once():
    runs = byte_runs(Region((10, 0), (5, 64), (1, 1)), (100, 64), 4)

    assert list(runs.offsets) == [10 * 64 * 4]
    assert runs.size == 5 * 64 * 4


def test_rows_that_lie_far_apart_are_read_one_by_one():
    runs = byte_runs(Region((0, 0), (3, 1), (1, 1)), (3, 100_000), 4)

    assert list(runs.offsets) == [0, 400_000, 800_000]
    assert runs.size == 4
