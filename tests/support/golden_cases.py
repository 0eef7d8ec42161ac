"""Parameters for the tests of the golden corpus."""

import bundle_bytes as bb
import pytest
from corpus import (
    CASES,
)

every_case = pytest.mark.parametrize("case", CASES, ids=repr)


def stored_box(proto):
    """(start, length) for each dimension of a TensorSliceProto, length -1 for a whole one."""
    extents = [bb.parse_proto(value) for _, _, value in bb.parse_proto(proto)]
    return [(bb.get(fields, 1), bb.get(fields, 2, -1)) for fields in extents]


def stored_slice(proto, shape):
    """The index that a TensorSliceProto means."""
    return tuple(
        slice(start, start + (dim if length < 0 else length))
        for (start, length), dim in zip(stored_box(proto), shape, strict=True)
    )
