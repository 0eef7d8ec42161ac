"""What an index lists: the names of tensors, and a `TensorInfo` for each.

Does not import NumPy, which takes longer than listing a hundred thousand tensors.
"""

from fastckpt.format._csrc cimport fck_buf, fck_entry
from fastckpt.format._record cimport TensorInfo, decode, entry_of, info_of, name_of
from fastckpt.format._table cimport Cursor, Table

from fastckpt.format._record import decode_entry, slice_key


cdef TensorInfo find_info(source, path, str name, const fck_entry *entry):
    """Make the `TensorInfo` of an entry. The slices of a partitioned tensor are looked up in
    `source`, which has what `slice_parts` needs; `path` is the file of the index."""
    cdef TensorInfo info = info_of(entry, path, name)
    if entry.slice_count > 0:
        whole = entry_of(entry, path, f"tensor {name!r}")
        info.slices, info.nbytes = _partition_of(source, name, whole)
    return info


def _partition_of(source, str name, whole):
    """Return the slices of a partitioned tensor, and their bytes."""
    from fastckpt.bundle.tensors import slice_parts, stored_size
    from fastckpt.format.slices import to_slices

    parts = list(slice_parts(source, name, whole))
    return tuple([to_slices(part.box) for part in parts]), stored_size(source, parts)


def list_names(Table table not None, frozenset hidden not None):
    """Return the names of the tensors in key order, without the keys of slices."""
    cdef Cursor cursor = Cursor(table)
    names = []
    while cursor.step():
        if not is_hidden(&cursor.it.key, hidden):
            names.append(name_of(cursor.it.key.data, cursor.it.key.size))
    return names


def list_infos(source, Table table not None, frozenset hidden not None):
    """Return the `TensorInfo` of every tensor in key order. `source` has what `slice_parts` needs:
    the path of the index, and the records of slices."""
    cdef Cursor cursor = Cursor(table)
    cdef fck_entry entry
    path = table.file.path
    infos = []
    while cursor.step():
        if is_hidden(&cursor.it.key, hidden):
            continue
        name = name_of(cursor.it.key.data, cursor.it.key.size)
        decode(cursor.it.value, &entry, path, name)
        infos.append(find_info(source, path, name, &entry))
    return infos


def find_hidden_keys(Table table not None):
    """Return the keys of slices that some entry lists. They begin with NUL, and so they sort first:
    if the first key after the header does not, there are none."""
    listed = []
    there = set()
    if not _has_nul_key(table):
        return frozenset()
    for key, record in table.items():
        if key[:1] == b"\0":
            there.add(key)
        if key and b"\x3a" in record:  # the tag of the field `slices`
            whole = decode_entry(record, table.file.path, f"entry of tensor {key!r}")
            listed.extend([slice_key(key, box) for box in whole.slices])
    return frozenset(there.intersection(listed))


cdef bint _has_nul_key(Table table) except -1:
    cdef Cursor cursor = Cursor(table)
    while cursor.step():
        if cursor.it.key.size > 0:
            return cursor.it.key.data[0] == 0
    return False


cdef bint is_hidden(const fck_buf *key, frozenset hidden) except -1:
    """Whether a key is the header's or a slice's."""
    if key.size == 0:
        return True
    return key.data[0] == 0 and (<const char *>key.data)[:key.size] in hidden
