# The only place where a status of csrc/ becomes an exception.
from fastckpt.format._csrc cimport (
    FCK_E_DIM, FCK_E_EXPANSION, FCK_E_HANDLE, FCK_E_MAGIC, FCK_E_MEMORY, FCK_E_ORDER,
    FCK_E_OVERFLOW, FCK_E_RANGE, FCK_E_RANK, FCK_E_RESTART, FCK_E_SHARED, FCK_E_TRAILING,
    FCK_E_TRUNCATED, FCK_E_VARINT, FCK_E_WIRE, FCK_OK, fck_status,
)

from fastckpt.errors import Fault, FormatError


cdef inline object fault_of(fck_status status):
    """The `Fault` that a status is a case of."""
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


cdef inline str explain(fck_status status):
    """What was expected and what was found, for a status that blames the bytes."""
    if status == FCK_E_TRUNCATED:
        return "expected more bytes, got the end"
    if status == FCK_E_VARINT:
        return "expected a varint, got one with too many bits"
    if status == FCK_E_WIRE:
        return "expected a protocol buffer, got an impossible tag or wire type"
    if status == FCK_E_RANGE:
        return "expected a number in range, got one that its field cannot hold"
    if status == FCK_E_MAGIC:
        return "expected the table magic 57fb808b247547db as the last 8 bytes, got others"
    if status == FCK_E_HANDLE:
        return ("expected blocks in the file, one behind the other, "
                "got a handle that points elsewhere")
    if status == FCK_E_RESTART:
        return "expected restart points at entries, got an array that does not fit"
    if status == FCK_E_SHARED:
        return "expected a key that shares bytes with the one before, got more than that has"
    if status == FCK_E_ORDER:
        return "expected strictly increasing keys, got one out of order"
    if status == FCK_E_EXPANSION:
        return "expected keys in proportion to the block, got a prefix compression bomb"
    if status == FCK_E_RANK:
        return "expected at most 254 dimensions, got more"
    if status == FCK_E_DIM:
        return "expected known dimensions of 0 or more, got a negative or unknown one"
    if status == FCK_E_TRAILING:
        return "expected the end, got more bytes"
    if status == FCK_E_OVERFLOW:
        return "expected a size of less than 2**63 bytes, got dimensions that multiply beyond"
    return f"got the status {<int>status}"


cdef inline int check(fck_status status, object path, object what, object tensor=None,
                      object offset=None) except -1:
    """Raise the exception for a status; return 0 for FCK_OK. Call it right after the C call."""
    if status == FCK_OK:
        return 0
    if status == FCK_E_MEMORY:
        raise MemoryError()
    raise FormatError(path, what, explain(status), tensor=tensor, offset=offset,
                      fault=fault_of(status))
