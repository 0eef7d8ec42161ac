"""What a V2 checkpoint has stored: the entries of its index, and its data files.

`StoredBundle` is what `Checkpoint.stored` gives. Does not import NumPy, which takes longer than
listing a hundred thousand tensors.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t

from fastckpt.format._csrc cimport fck_buf, fck_entry, fck_reader
from fastckpt.format._record cimport (
    TensorInfo, decode, entry_of, exact_name, info_of, key_of, name_of,
)
from fastckpt.format._table cimport Cursor, Table

import errno
from functools import partial

from fastckpt.bundle.names import index_path, shard_path
from fastckpt.errors import CheckpointError, Fault, FormatError, TensorNotFoundError
from fastckpt.format._record import decode_entry, decode_header, slice_key
from fastckpt.storage.local import File

cdef int _MAX_OPEN = 64  # data files that stay open; the others are opened for each read


cdef class Shard:
    """An open data file, and its map unless it is only read by position."""

    def __init__(self, file, map):
        cdef Py_buffer view
        self.file = file
        self.fd = file.fileno()
        self.size = file.size
        self.map = map
        self.data = NULL
        if map is not None:
            PyObject_GetBuffer(map, &view, PyBUF_SIMPLE)
            self.data = <char *>view.buf  # stays for as long as the map does
            PyBuffer_Release(&view)


cdef class StoredBundle:
    """The entries of an index and the data files that they are about. See `checkpoint.Stored`.

    `prefix` is the checkpoint's, `path` that of the index. `backend` "mmap" maps data files, with
    `writable` copy-on-write; "pread" reads them by position; "auto" is "pread" on network file
    systems, else "mmap". Raises `FormatError`, `ChecksumError` and `UnsupportedError` for an index
    that cannot be opened, and `OSError` as `open` does.
    """

    def __init__(self, str prefix not None, *, str backend="auto", bint writable=False):
        file = File(index_path(prefix))
        table = Table(file)
        self.prefix = prefix
        self.path = file.path
        self.num_shards, self.is_big_endian, self.version = decode_header(table.first(), file.path)
        if backend == "auto":
            backend = "pread" if file.is_network() else "mmap"
        self.is_mapped = backend == "mmap"
        self._is_writable = writable
        self.shards = {}
        self._table = table

    @property
    def byteorder(self):
        """The byte order of the data files: "little" or "big"."""
        return "big" if self.is_big_endian else "little"

    @property
    def is_closed(self):
        """Whether `close` was called."""
        with cython.critical_section(self):
            return self._table is None

    def close(self):
        """Drop the references to the index and the data files."""
        with cython.critical_section(self):  # other threads may be about to take the table
            self._table = None
        self.shards.clear()

    # ---- Entries ----

    def __contains__(self, name):
        cdef fck_entry entry
        return isinstance(name, str) and self.look_up(exact_name(name), &entry)

    def __len__(self):
        cdef Table table = self._open_table()
        cdef size_t count = 0
        cdef size_t i
        for i in range(table.block_count()):
            count += table.block(i).entry_count
        return count - 1 - len(self.hidden_keys())

    def names(self):
        """Return the names of the tensors in key order, without the keys of slices."""
        return _list_names(self._open_table(), self.hidden_keys())

    def entry(self, name):
        """Return the `Entry` of a tensor. Raises `TensorNotFoundError`."""
        cdef fck_entry entry
        name = exact_name(name)
        self.find(name, &entry)
        return entry_of(&entry, self.path, f"tensor {name!r}")

    def entries(self):
        """Return (name, `Entry`) of every tensor in key order."""
        cdef Cursor cursor = Cursor(self._open_table())
        cdef frozenset hidden = self.hidden_keys()
        cdef fck_entry entry
        found = []
        while cursor.step():
            if not _is_hidden(&cursor.it.key, hidden):
                name = name_of(cursor.it.key.data, cursor.it.key.size)
                decode(cursor.it.value, &entry, self.path, name)
                found.append((name, entry_of(&entry, self.path, f"tensor {name!r}")))
        return found

    def infos(self):
        """Return the `TensorInfo` of every tensor in key order."""
        cdef Cursor cursor = Cursor(self._open_table())
        cdef frozenset hidden = self.hidden_keys()
        cdef fck_entry entry
        infos = []
        while cursor.step():
            if _is_hidden(&cursor.it.key, hidden):
                continue
            name = name_of(cursor.it.key.data, cursor.it.key.size)
            decode(cursor.it.value, &entry, self.path, name)
            infos.append(self.describe(name, &entry))
        return infos

    cdef TensorInfo describe(self, str name, const fck_entry *entry):
        """The `TensorInfo` of an entry; the slices of a partitioned tensor are looked up."""
        cdef TensorInfo info = info_of(entry, self.path, name)
        if entry.slice_count > 0:
            from fastckpt.format.slices import to_slices

            whole = entry_of(entry, self.path, f"tensor {name!r}")
            parts = _tensors().list_parts(self, name, whole)
            info.slices = tuple([to_slices(part.box) for part in parts])
            info.nbytes = _tensors().stored_size(self, parts)
        return info

    cdef bint look_up(self, str name, fck_entry *entry) except -1:
        """Whether there is a tensor of this name; if so, its decoded entry."""
        cdef fck_reader record
        cdef Table table = self._open_table()
        cdef Py_ssize_t size
        cdef const char *key
        cdef bytes escaped
        try:
            key = PyUnicode_AsUTF8AndSize(name, &size)  # borrowed from the name
        except UnicodeEncodeError:
            try:
                escaped = key_of(name)
            except UnicodeEncodeError:  # no bytes decode to this name
                return False
            key = escaped
            size = len(escaped)
        if size == 0 or not table.find(<const uint8_t *>key, <size_t>size, &record):
            return False
        if key[0] == 0 and key[:size] in self.hidden_keys():
            return False
        decode(record, entry, self.path, name)
        return True

    cdef int find(self, str name, fck_entry *entry) except -1:
        """Decode the entry of a tensor. Raises `TensorNotFoundError`."""
        if not self.look_up(name, entry):
            # the names are for the message, which may be asked for when this is closed
            names = partial(_list_names, self._open_table(), self.hidden_keys())
            raise TensorNotFoundError(self.prefix, name, names)
        return 0

    # ---- Parts of tensors: see tensors.py ----

    def parts(self, name):
        """Return the `StoredPart`s of a tensor: its slices, or all of it as one."""
        return _tensors().list_parts(self, exact_name(name), self.entry(name))

    def read(self, name, entry=None):
        """Return a tensor, verified; `entry` is its entry if that is known."""
        name = exact_name(name)
        return _tensors().read_tensor(self, name, self.entry(name) if entry is None else entry)

    def read_parts(self, name):
        """Yield (`StoredPart`, array) of each part of a tensor, verified."""
        return _tensors().read_parts(self, exact_name(name), self.entry(name))

    def verify(self, name):
        """Verify the bytes of a tensor, in the memory of one chunk."""
        _tensors().verify_tensor(self, exact_name(name), self.entry(name))

    # ---- Records and data files ----

    def record(self, bytes key not None):
        """Return the record of a key of any kind, or None."""
        return self._open_table().get(key)

    def blocks(self):
        """Return an iterator over the (key, record) pairs of each block of the index, or what is
        wrong with it."""
        return self._open_table().blocks()

    def hidden_keys(self):
        """Return the keys of slices, which are no names of tensors."""
        cdef frozenset keys
        with cython.critical_section(self):
            keys = self._slice_keys
        if keys is None:
            keys = _find_hidden_keys(self._open_table())
            with cython.critical_section(self):
                self._slice_keys = keys
        return keys

    def source(self, int number, what):
        """Return the open data file of this number; `what` is for the error."""
        return self.shard(number, what).file

    cdef Shard shard(self, int number, what):
        cdef Shard shard = self.shards.get(number)
        if shard is None:
            shard = self._open_shard(number, what)
            self.shards[number] = shard
        return shard

    cdef Shard _open_shard(self, int number, what):
        table = self._open_table()
        if not 0 <= number < self.num_shards:
            raise FormatError(self.path, f"entry of {what}",
                              f"expected a shard below {self.num_shards}, got {number}",
                              fault=Fault.MISMATCH)
        path = shard_path(self.prefix, number, self.num_shards)
        file = None
        try:
            file = File(path, stays_open=len(self.shards) < _MAX_OPEN)
        except FileNotFoundError:
            if table.file.is_current():
                raise FileNotFoundError(
                    errno.ENOENT, f"data file {number + 1} of {self.num_shards} is missing", path,
                ) from None
        if file is None or not table.file.is_current():
            raise CheckpointError(
                self.path, "index",
                "expected the file that was opened, got another one or none: the checkpoint was "
                "saved again or removed meanwhile; read it anew", fault=Fault.CHANGED)
        map = file.map(writable=self._is_writable) if self.is_mapped else None
        return Shard(file, map)

    cdef Table _open_table(self):
        cdef Table table
        with cython.critical_section(self):
            table = self._table
        if table is None:
            raise ValueError(f"{self.prefix}: the checkpoint is closed")
        return table


_tensors_module = None


cdef object _tensors():
    """The module `tensors`, which imports NumPy: imported when it is first needed, once."""
    global _tensors_module
    if _tensors_module is None:
        from fastckpt.bundle import tensors
        _tensors_module = tensors
    return _tensors_module


def _list_names(Table table not None, frozenset hidden not None):
    cdef Cursor cursor = Cursor(table)
    names = []
    while cursor.step():
        if not _is_hidden(&cursor.it.key, hidden):
            names.append(name_of(cursor.it.key.data, cursor.it.key.size))
    return names


def find_slice_keys(items, path):
    """Return the keys of slices that some of these (key, record) pairs list, and that are keys of
    others. A record that cannot be decoded lists none. `path` is the file of the index."""
    keys = set()
    partitioned = []
    for key, record in items:
        if key[:1] == b"\0":  # as the keys of all slices begin
            keys.add(key)
        if key and b"\x3a" in record:  # the tag of the field `slices`
            try:
                partitioned.append((key, decode_entry(record, path, "entry").slices))
            except CheckpointError:  # to be found where the tensor is looked at
                continue
    found = set()
    for key, slices in partitioned:
        for box in slices:
            slice_ = slice_key(key, box)
            if slice_ in keys:
                found.add(slice_)
    return frozenset(found)


cdef frozenset _find_hidden_keys(Table table):
    """Slice keys start with NUL, so they sort first: if the first key after the header does not,
    there are none."""
    cdef Cursor cursor = Cursor(table)
    while cursor.step():
        if cursor.it.key.size > 0:
            if cursor.it.key.data[0] != 0:
                break
            return find_slice_keys(table.items(), table.file.path)
    return frozenset()


cdef bint _is_hidden(const fck_buf *key, frozenset hidden) except -1:
    """Whether a key is the header's or a slice's."""
    if key.size == 0:
        return True
    return key.data[0] == 0 and (<const char *>key.data)[:key.size] in hidden
