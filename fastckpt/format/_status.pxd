# The only place where a status of csrc/ becomes an exception.
from libc.stdint cimport int64_t

from fastckpt.format._csrc cimport (
    FCK_E_DIM, FCK_E_EXPANSION, FCK_E_HANDLE, FCK_E_MAGIC, FCK_E_MEMORY, FCK_E_ORDER,
    FCK_E_OVERFLOW, FCK_E_RANGE, FCK_E_RANK, FCK_E_RESTART, FCK_E_SHARED, FCK_E_TRAILING,
    FCK_E_TRUNCATED, FCK_E_VARINT, FCK_E_WIRE, FCK_OK, fck_fault, fck_status,
)


cdef inline object fault_of(fck_status status):
    """The `Fault` that a status is a case of."""
    from fastckpt.errors import Fault  # here: what a .pxd imports is not there in its users

    if status == FCK_E_TRUNCATED:
        return Fault.TRUNCATED
    if status == FCK_E_TRAILING:
        return Fault.TRAILING
    if status == FCK_E_MAGIC:
        return Fault.BAD_MAGIC
    if status == FCK_E_ORDER:
        return Fault.ORDER
    if status in (FCK_E_RANGE, FCK_E_EXPANSION, FCK_E_RANK, FCK_E_OVERFLOW):
        return Fault.TOO_LARGE
    return Fault.MALFORMED


cdef inline str explain(fck_status status, fck_fault fault):
    """The problem in words; `fault` has the numbers, zeros where there are none."""
    wanted, found = fault.wanted, fault.found
    if status == FCK_E_TRUNCATED:
        missing = wanted - found
        if missing <= 0:
            return "truncated: needs more bytes"
        return f"truncated: needs {missing} more byte{'' if missing == 1 else 's'}"
    if status == FCK_E_VARINT:
        return "expected a varint, got one with too many bits"
    if status == FCK_E_WIRE:
        if wanted == found:
            return "expected a protocol buffer, got an impossible tag or wire type"
        return f"expected a field of wire type {wanted}, got wire type {found}"
    if status == FCK_E_RANGE:
        return f"expected a number that its field can hold, got {<int64_t>fault.found}"
    if status == FCK_E_MAGIC:
        return "expected the table magic as the last 8 bytes, got others"
    if status == FCK_E_HANDLE:
        return "expected blocks within the file, one after the other, got one elsewhere"
    if status == FCK_E_RESTART:
        if wanted == found:
            return "expected restart points at entries, got an array that does not fit"
        return f"expected 1 to {wanted} restart points, got {found}"
    if status == FCK_E_SHARED:
        return f"key shares {wanted} bytes, the previous key has {found}"
    if status == FCK_E_ORDER:
        return "expected strictly increasing keys, got one out of order"
    if status == FCK_E_EXPANSION:
        return f"expected keys of at most {wanted} bytes in all, got a prefix compression bomb"
    if status == FCK_E_RANK:
        return f"expected at most {wanted} dimensions, got {found}"
    if status == FCK_E_DIM:
        if found == 0:
            return "expected a known shape, got one of unknown rank"
        return f"expected dimensions of 0 or more, got {<int64_t>fault.found}"
    if status == FCK_E_TRAILING:
        return f"expected {wanted} bytes, got {found}"
    if status == FCK_E_OVERFLOW:
        return "shape overflows 2**63 bytes"
    return f"got the status {<int>status}"


cdef inline int fail(fck_status status, fck_fault fault, object path, object what,
                     object offset, object tensor) except -1:
    """Raise the exception for a status that is not FCK_OK."""
    if status == FCK_E_MEMORY:
        raise MemoryError()
    from fastckpt.errors import FormatError

    raise FormatError(path, what, explain(status, fault), tensor=tensor, offset=offset,
                      fault=fault_of(status))


cdef inline int check(fck_status status, object path, object what,
                      object offset=None) except -1:
    """Raise the exception for a status without numbers; return 0 for FCK_OK. Call it right after
    the C call."""
    if status == FCK_OK:
        return 0
    return fail(status, fck_fault(0, 0), path, what, offset, None)
