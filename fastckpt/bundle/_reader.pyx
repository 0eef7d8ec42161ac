"""V2 checkpoints: an index and its shards as a mapping of names to arrays.

`Bundle.__getitem__` is the hot path: from the name to a view without Python calls on the way.
Everything else is built for clarity, on `Entry` and the classes of stage.py.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from numpy cimport NPY_ARRAY_WRITEABLE, PyArray_DATA, PyArray_SetBaseObject, ndarray, npy_intp

from fastckpt.bundle._index cimport find_info
from fastckpt.format._csrc cimport FCK_MAX_RANK, FCK_OK, fck_entry, fck_entry_measure, fck_reader
from fastckpt.format._record cimport (
    Row, decode, entry_of, exact_name, key_of, row_of, shape_of,
)
from fastckpt.format._table cimport Table

import errno
from functools import partial

from fastckpt.bundle._index import find_hidden_keys, list_infos, list_names
from fastckpt.format._record import decode_header
from fastckpt.checkpoint import TensorSlice
from fastckpt.errors import AboutTensor, CheckpointError, Fault, FormatError, TensorNotFoundError
from fastckpt.bundle.names import index_path, shard_path
from fastckpt.format.shapes import MAX_RANK, check_rank
from fastckpt.format.slices import parse_index
from fastckpt.storage.local import File
from fastckpt.bundle.tensors import (
    locate, read_parts, read_region, read_tensor, slice_parts, verify_tensor,
)

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    # steals a reference to the dtype
    ndarray PyArray_NewFromDescr(type subtype, cnp.dtype dtype, int rank, const npy_intp *dims,
                                 const npy_intp *strides, void *data, int flags, object like)


cdef extern from *:
    """
    #include <stdint.h>
    #ifndef _WIN32  /* where a file that is mapped cannot be cut */
    #include <sys/stat.h>
    #endif
    static int ends_before(int fd, uint64_t end)
    {
    #ifndef _WIN32
        struct stat status;
        if (fd >= 0 && fstat(fd, &status) == 0)
            return (uint64_t)status.st_size < end;
    #endif
        (void)fd;
        (void)end;
        return 0;
    }
    """
    bint ends_before(int fd, uint64_t end) nogil


cdef int _MAX_RANK = MAX_RANK
cdef int _MAX_OPEN = 64  # data files that stay open; the others are opened for each read


cdef class _Shard:
    """An open data file, and its map unless it is only to be read by position."""

    cdef object file
    cdef ndarray map
    cdef char *data
    cdef uint64_t size
    cdef int fd  # of the file, which is open for as long as this is; -1 if it is not kept open

    def __init__(self, file, map):
        self.file = file
        self.fd = file.fileno()
        self.size = file.size
        self.map = map
        self.data = NULL if map is None else <char *>PyArray_DATA(map)


cdef class BundleReader:
    """What `Bundle` does at the speed of C; everything else about it is in reader.py."""

    cdef readonly str path
    cdef readonly str format
    cdef readonly int num_shards
    cdef readonly int version
    cdef readonly str byteorder
    cdef readonly str index_path
    cdef Table _table           # None when closed
    cdef dict _shards           # number -> _Shard, as they are opened
    cdef set _verified          # names whose bytes were verified; None unless asked to
    cdef frozenset _slice_keys  # keys of slices; None until it is first needed
    cdef readonly str backend
    cdef readonly str mode
    cdef readonly bint verify_on_access
    cdef bint _is_big_endian
    cdef bint _is_mapped
    cdef int _view_flags

    def __init__(self, str path not None, *, bint verify=False, str backend="auto", str mode="r"):
        if backend not in ("auto", "mmap", "pread"):
            raise ValueError(f"backend: expected 'auto', 'mmap' or 'pread', got {backend!r}")
        if mode not in ("r", "c"):
            raise ValueError(f"mode: expected 'r' or 'c', got {mode!r}")
        file = File(index_path(path))
        table = Table(file)
        self.path = path
        self.format = "V2"
        self.index_path = file.path
        self.num_shards, self._is_big_endian, self.version = decode_header(table.first(), file.path)
        self.byteorder = "big" if self._is_big_endian else "little"
        if backend == "auto":
            backend = "pread" if file.is_network() else "mmap"
        self.backend = backend
        self._is_mapped = backend == "mmap"
        self.mode = mode
        self.verify_on_access = verify
        self._view_flags = NPY_ARRAY_WRITEABLE if mode == "c" else 0
        self._verified = set() if verify else None
        self._shards = {}
        self._table = table

    # ---- Names ----

    def __getitem__(self, name):
        return self._get(exact_name(name), None)

    def __contains__(self, name):
        cdef fck_entry entry
        return isinstance(name, str) and self._look_up(exact_name(name), &entry)

    def __iter__(self):
        return iter(self._names())

    def __len__(self):
        table = self._open_table()
        cdef size_t count = 0
        cdef size_t i
        for i in range(table.block_count()):
            count += table.block(i).entry_count
        return count - 1 - len(self._hidden_keys())

    def __repr__(self):
        with cython.critical_section(self):
            is_closed = self._table is None
        if is_closed:
            return f"<closed checkpoint {self.path!r}>"
        return f"<checkpoint {self.path!r}: format V2, shards: {self.num_shards}>"

    def close(self):
        with cython.critical_section(self):  # other threads may be about to take the table
            self._table = None
        self._shards.clear()

    # ---- What there is ----

    def info(self, name):
        cdef fck_entry entry
        name = exact_name(name)
        self._find(name, &entry)
        return find_info(self, self.index_path, name, &entry)

    def infos(self):
        return list_infos(self, self._open_table(), self._hidden_keys())

    # ---- Tensors ----

    def get_tensor(self, name, *, copy=None):
        return self._get(exact_name(name), copy)

    def get_slice(self, name):
        cdef fck_entry entry
        name = exact_name(name)
        self._find(name, &entry)
        cdef Row row = row_of(entry.dtype, self.index_path, name)
        return TensorSlice(self, name, shape_of(&entry), row.numpy())

    def problems(self, *, threads=None, progress=None):
        from fastckpt.bundle.verify import find_problems

        return find_problems(self, threads=threads, progress=progress)

    # ---- What tensors.py, verify.py and writer.py build on ----

    def _entry(self, name):
        cdef fck_entry entry
        name = exact_name(name)
        self._find(name, &entry)
        return self._to_entry(name, &entry)

    def _parts(self, name):
        name = exact_name(name)
        entry = self._entry(name)
        if self._is_big_endian:
            return None
        with AboutTensor(name):
            if not entry.slices:
                return [(None, entry, locate(self, entry, _name(name)))]
            return [(part.stored, part.entry, locate(self, part.entry, part.what))
                    for part in slice_parts(self, name, entry)]

    def _read_parts(self, name):
        return read_parts(self, exact_name(name), self._entry(name))

    def _verify_data(self, name):
        """Verify a tensor's bytes."""
        verify_tensor(self, name, self._entry(name))

    def _record(self, bytes key not None):
        """Return the record of a key of any kind, or None."""
        return self._open_table().get(key)

    def _shard_file(self, int number, what):
        """Return the `File` of a shard."""
        return self._shard(number, what).file

    def _hidden(self):
        """Return the keys of slices."""
        return self._hidden_keys()

    def _blocks(self):
        """Yield the (key, record) pairs of each block of the index, or what is wrong with it."""
        cdef Table table = self._open_table()
        for i in range(table.block_count()):
            try:
                yield table.block_items(i)
            except CheckpointError as error:
                yield error

    # ---- Private ----

    cdef Table _open_table(self):
        cdef Table table
        with cython.critical_section(self):
            table = self._table
        if table is None:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return table

    cdef bint _look_up(self, str name, fck_entry *entry) except -1:
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
        if key[0] == 0 and key[:size] in self._hidden_keys():
            return False
        decode(record, entry, self.index_path, name)
        return True

    cdef int _find(self, str name, fck_entry *entry) except -1:
        if not self._look_up(name, entry):
            # the names are for the message, which may be asked for when this is closed
            names = partial(list_names, self._open_table(), self._hidden_keys())
            raise TensorNotFoundError(self.path, name, names)
        return 0

    def _names(self):
        return list_names(self._open_table(), self._hidden_keys())

    cdef frozenset _hidden_keys(self):
        cdef frozenset keys
        with cython.critical_section(self):
            keys = self._slice_keys
        if keys is None:
            keys = find_hidden_keys(self._open_table())
            with cython.critical_section(self):
                self._slice_keys = keys
        return keys

    cdef _Shard _shard(self, int number, what):
        cdef _Shard shard = self._shards.get(number)
        if shard is None:
            shard = self._open_shard(number, what)
            self._shards[number] = shard
        return shard

    cdef _Shard _open_shard(self, int number, what):
        table = self._open_table()
        if not 0 <= number < self.num_shards:
            raise FormatError(table.file.path, f"entry of {what}",
                              f"expected a shard below {self.num_shards}, got {number}",
                              fault=Fault.MISMATCH)
        path = shard_path(self.path, number, self.num_shards)
        try:
            file = File(path, stays_open=len(self._shards) < _MAX_OPEN)
        except FileNotFoundError:
            raise FileNotFoundError(
                errno.ENOENT, f"data file {number + 1} of {self.num_shards} is missing", path,
            ) from None
        if not table.file.is_current():
            raise CheckpointError(
                table.file.path, "index",
                "expected the file that was opened, got another one or none: the checkpoint was "
                "saved again or removed meanwhile; read it anew", fault=Fault.CHANGED)
        map = file.map(writable=self.mode == "c") if self._is_mapped else None
        return _Shard(file, map)

    cdef object _get(self, str name, copy):
        cdef fck_entry entry
        self._find(name, &entry)
        cdef Row row = row_of(entry.dtype, self.index_path, name)
        reason = self._why_no_view(&entry, row)
        if reason is None and (copy is None or copy is False):
            return self._view(name, &entry, row)
        if copy is False:
            raise ValueError(f"tensor {name!r}: a view cannot exist: {reason}")
        return read_tensor(self, name, self._to_entry(name, &entry))

    cdef str _why_no_view(self, const fck_entry *entry, Row row):
        if row.item_size == 0:
            return f"elements of {row.name} are not of one size"
        if entry.slice_count > 0:
            return "it is partitioned"
        if self._is_big_endian and row.swap_size > 0:
            return "the file is big-endian"
        if not self._is_mapped:
            return "the backend 'pread' maps nothing"
        return None

    cdef object _view(self, str name, const fck_entry *entry, Row row):
        cdef uint64_t count, size
        cdef npy_intp dims[FCK_MAX_RANK]
        cdef uint32_t i
        cdef cnp.dtype numpy_dtype
        cdef _Shard shard = self._shards.get(entry.shard_id)
        if shard is None:
            with AboutTensor(name):
                shard = self._shard(entry.shard_id, _name(name))
        if fck_entry_measure(entry, row.item_size, &count, &size) != FCK_OK \
                or <uint64_t>entry.size != size or entry.offset < 0 \
                or <uint64_t>entry.offset > shard.size \
                or size > shard.size - <uint64_t>entry.offset \
                or <int>entry.rank > _MAX_RANK:
            self._blame(name, entry)
        if ends_before(shard.fd, <uint64_t>entry.offset + size):
            with AboutTensor(name):
                shard.file.check_current_size(entry.offset, size, _name(name))
        if self._verified is not None:
            self._verify_first(name)
        for i in range(entry.rank):
            dims[i] = <npy_intp>entry.dims[i]
        numpy_dtype = row.stored()
        Py_INCREF(numpy_dtype)  # stolen by the call, as the map is by the next one
        array = PyArray_NewFromDescr(ndarray, numpy_dtype, <int>entry.rank, dims, NULL,
                                     shard.data + entry.offset, self._view_flags, None)
        Py_INCREF(shard.map)
        PyArray_SetBaseObject(array, shard.map)
        return array

    cdef int _blame(self, str name, const fck_entry *entry) except -1:
        """Raise what makes an entry unfit for a view."""
        what = _name(name)
        whole = self._to_entry(name, entry)
        with AboutTensor(name):
            locate(self, whole, what)
            check_rank(whole.shape, self.index_path, what)
        raise AssertionError("unreachable")

    cdef int _verify_first(self, str name) except -1:
        """With `verify=True`, verify a tensor that was not asked for yet."""
        if self._verified is not None and name not in self._verified:
            self._verify_data(name)
            self._verified.add(name)
        return 0

    def read_part(self, str name, index):
        cdef fck_entry entry
        self._find(name, &entry)
        selection = parse_index(index, shape_of(&entry))
        row = row_of(entry.dtype, self.index_path, name)
        if self._why_no_view(&entry, row) is None:
            view = self._view(name, &entry, row)
            return view[index] if isinstance(index, tuple) else view[(index,)]
        self._verify_first(name)
        array = read_region(self, name, self._to_entry(name, &entry), selection.region)
        return array[selection.then]

    cdef object _to_entry(self, str name, const fck_entry *entry):
        return entry_of(entry, self.index_path, _name(name))


def _name(str name):
    return f"tensor {name!r}"
