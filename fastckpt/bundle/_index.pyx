"""What an index lists: the names of tensors, and a `TensorInfo` for each.

Does not import NumPy, which takes longer than listing a hundred thousand tensors.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastckpt.format._csrc cimport (
    FCK_MESSAGE_ENTRY, FCK_OK, fck_buf, fck_entry, fck_entry_decode, fck_entry_measure, fck_fault,
    fck_fault_of_message, fck_reader, fck_status,
)
from fastckpt.format._record cimport entry_of, name_of, shape_of, unmask_crc
from fastckpt.format._table cimport Cursor, Table
from fastckpt.format._status cimport fail

from fastckpt.format import dtypes
from fastckpt.format._record import decode_entry, slice_key
from fastckpt.errors import Fault, UnsupportedError
from fastckpt.bundle.names import index_path

cdef int _NUM_DTYPES = 64


cdef class Row:
    """A row of dtypes.py, as the hot path reads it."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.name = dtype.name
        self.item_size = dtype.item_size
        self.swap_size = dtype.swap_size

    cdef object numpy(self):
        with cython.critical_section(self):  # or a thread may get what another one replaces
            if self._numpy is None:
                self._numpy = self.dtype.numpy
            return self._numpy


cdef list _ROWS = [
    Row(dtypes.by_number(number)) if dtypes.by_number(number) else None
    for number in range(_NUM_DTYPES)
]


cdef Row row_of(int number, str path, str name):
    """The row of a tensor's dtype; `path` is the prefix."""
    row = _ROWS[number] if 0 <= number < _NUM_DTYPES else None
    if row is None:
        raise UnsupportedError(index_path(path), f"entry of tensor {name!r}",
                               f"expected a known dtype, got number {number}", tensor=name,
                               fault=Fault.DTYPE)
    return row


@cython.no_gc  # holds nothing that could hold it; a hundred thousand would keep the GC busy
cdef class TensorInfo:
    """What an index says of a tensor. Made without touching the data.

    `dtype` is the NumPy dtype of the array that reading gives (object for strings, variants and
    resources), `tf_dtype` the name that `tf.DType.name` gives. `nbytes` is the size in the
    data files. `shard`, `offset` (bytes in that shard) and `crc32c` (not masked) are None for a
    partitioned tensor, whose `slices` holds a tuple of `slice` objects per part; it is empty
    for every other tensor. A V1 file encodes its tensors: `offset` and `crc32c` are None.
    """

    @property
    def dtype(self):
        return self._row.numpy()

    @property
    def tf_dtype(self):
        return self._row.name

    @property
    def shard(self):
        return None if self.slices else self._shard

    @property
    def offset(self):
        return None if self.slices or not self._is_located else self._offset

    @property
    def crc32c(self):
        return None if self.slices or not self._is_located else self._crc32c

    def _fields(self):
        offset, crc = (self._offset, self._crc32c) if self._is_located else (None, None)
        return (self.name, self._row.dtype.number, self.shape, self.nbytes, self._shard, offset,
                crc, self.slices)

    def __eq__(self, other):
        if not isinstance(other, TensorInfo):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self):
        return hash((self.name, self.tf_dtype, self.shape, self._shard, self._offset))

    def __reduce__(self):
        return make_info, self._fields()

    def __repr__(self):
        return (f"TensorInfo(name={self.name!r}, dtype={self.dtype}, tf_dtype={self.tf_dtype!r}, "
                f"shape={self.shape}, nbytes={self.nbytes}, shard={self.shard}, "
                f"offset={self.offset}, crc32c={self.crc32c}, slices={self.slices})")


def make_info(str name, int dtype, tuple shape, int64_t nbytes, int shard, offset, crc32c,
              tuple slices):
    """Return a `TensorInfo`. `dtype` is the number of a known one; offset and crc32c are both
    numbers or both None."""
    cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
    info._row = row_of(dtype, "", name)
    info.name = name
    info.shape = shape
    info.nbytes = nbytes
    info._is_located = offset is not None
    info._shard = shard
    if info._is_located:
        info._offset = offset
        info._crc32c = crc32c
    info.slices = slices
    return info


cdef TensorInfo info_of(source, str path, str name, const fck_entry *entry):
    """Make the `TensorInfo` of an entry. In `source` the slices of a partitioned tensor are looked
    up; `path` is the prefix."""
    cdef Row row = row_of(entry.dtype, path, name)
    cdef int64_t nbytes = entry.size
    cdef uint64_t count, size
    cdef uint32_t item_size = row.item_size if row.item_size else 1
    cdef fck_status status = fck_entry_measure(entry, item_size, &count, &size)
    if status != FCK_OK:
        fail(status, fck_fault(0, 0), index_path(path), f"entry of tensor {name!r}", None, name)
    slices = ()
    if entry.slice_count > 0:
        whole = entry_of(entry, index_path(path), f"tensor {name!r}")
        slices, nbytes = _partition_of(source, name, whole)
    cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
    info._row = row
    info.name = name
    info.shape = shape_of(entry)
    info.nbytes = nbytes
    info._is_located = True
    info._shard = entry.shard_id
    info._offset = entry.offset
    info._crc32c = unmask_crc(entry.masked_crc32c)
    info.slices = slices
    return info


def _partition_of(source, str name, whole):
    """Return the slices of a partitioned tensor, and their bytes."""
    from fastckpt.format.slices import to_slices
    from fastckpt.bundle.tensors import slice_parts, stored_size

    parts = list(slice_parts(source, name, whole))
    return tuple([to_slices(part.box) for part in parts]), stored_size(source, parts)


cdef int decode(str path, str name, fck_reader record, fck_entry *entry) except -1:
    """Decode a tensor's record; `path` is the prefix."""
    cdef fck_status status = fck_entry_decode(record, entry)
    if status != FCK_OK:
        fail(status, fck_fault_of_message(record, FCK_MESSAGE_ENTRY, status), index_path(path),
             f"entry of tensor {name!r}", None, name)
    return 0


def list_names(Table table not None, frozenset hidden not None):
    """Return the names of the tensors in key order, without the keys of slices."""
    cdef Cursor cursor = Cursor(table)
    names = []
    while cursor.step():
        if not is_hidden(&cursor.it.key, hidden):
            names.append(name_of(cursor.it.key.data, cursor.it.key.size))
    return names


def list_infos(source, str path not None, Table table not None, frozenset hidden not None):
    """Return the `TensorInfo` of every tensor in key order. `source` has what `slice_parts` needs:
    the path of the index, and the records of slices."""
    cdef Cursor cursor = Cursor(table)
    cdef fck_entry entry
    infos = []
    while cursor.step():
        if is_hidden(&cursor.it.key, hidden):
            continue
        name = name_of(cursor.it.key.data, cursor.it.key.size)
        decode(path, name, cursor.it.value, &entry)
        infos.append(info_of(source, path, name, &entry))
    return infos


def find_hidden_keys(Table table not None, str path not None):
    """Return the keys of slices that some entry lists; `path` is the prefix. They begin with NUL
    and so come first: where the first key behind the header does not, there are none."""
    listed = []
    there = set()
    if not _has_nul_key(table):
        return frozenset()
    for key, record in table.items():
        if key[:1] == b"\0":
            there.add(key)
        if key and b"\x3a" in record:  # the tag of the field `slices`
            whole = decode_entry(record, index_path(path), f"entry of tensor {key!r}")
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
