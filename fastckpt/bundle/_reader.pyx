"""The hot path of V2 checkpoints: from a name to a view without Python calls on the way."""

cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t, uint64_t
from numpy cimport NPY_ARRAY_WRITEABLE, PyArray_SetBaseObject, ndarray, npy_intp

from fastckpt.bundle._index cimport Shard, StoredBundle
from fastckpt.format._csrc cimport FCK_MAX_RANK, FCK_OK, fck_entry, fck_entry_measure
from fastckpt.format._record cimport Row, entry_of, exact_name, row_of, shape_of

from fastckpt.bundle.tensors import locate, read_region, read_tensor
from fastckpt.checkpoint import TensorSlice
from fastckpt.errors import CheckpointError, name_tensor
from fastckpt.format.shapes import MAX_RANK, check_rank
from fastckpt.format.slices import parse_index
from fastckpt.storage.kind import explain_data

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


cdef class BundleReader:
    """The compiled half of `Bundle`, which has the rest in reader.py."""

    cdef readonly StoredBundle stored
    cdef readonly str backend
    cdef readonly str mode
    cdef readonly bint verify_on_access
    cdef set _verified          # names whose bytes were verified; None unless asked to
    cdef int _view_flags

    def __cinit__(self, *arguments, **options):
        self.stored = StoredBundle.__new__(StoredBundle)  # closed: without __init__ nothing is open

    def __init__(self, str path not None, *, bint verify=False, str backend="auto", str mode="r"):
        if backend not in ("auto", "mmap", "pread"):
            raise ValueError(f"backend: expected 'auto', 'mmap' or 'pread', got {backend!r}")
        if mode not in ("r", "c"):
            raise ValueError(f"mode: expected 'r' or 'c', got {mode!r}")
        self.stored = StoredBundle(path, backend=backend, writable=mode == "c")
        self.backend = "mmap" if self.stored.is_mapped else "pread"
        self.mode = mode
        self.verify_on_access = verify
        self._view_flags = NPY_ARRAY_WRITEABLE if mode == "c" else 0
        self._verified = set() if verify else None

    def __getitem__(self, name):
        return self._get(exact_name(name), None)

    def __contains__(self, name):
        cdef fck_entry entry
        return isinstance(name, str) and self.stored.look_up(exact_name(name), &entry)

    def info(self, name):
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""
        cdef fck_entry entry
        name = exact_name(name)
        self.stored.find(name, &entry)
        return self.stored.describe(name, &entry)

    def get_tensor(self, name, *, copy=None):
        """Return a tensor; see `Checkpoint.get_tensor`."""
        return self._get(exact_name(name), copy)

    def get_slice(self, name):
        """Return a lazy handle on a tensor, to be indexed. Raises `TensorNotFoundError`."""
        cdef fck_entry entry
        name = exact_name(name)
        self.stored.find(name, &entry)
        cdef Row row = row_of(entry.dtype, self.stored.path, name)
        return TensorSlice(self, name, shape_of(&entry), row.numpy())

    def read_part(self, str name, index):
        """Return the part of a tensor that a basic index selects: `get_slice(name)[index]`."""
        cdef fck_entry entry
        self.stored.find(name, &entry)
        selection = parse_index(index, shape_of(&entry))
        row = row_of(entry.dtype, self.stored.path, name)
        if self._why_no_view(&entry, row) is None:
            view = self._view(name, &entry, row)
            return view[index] if isinstance(index, tuple) else view[(index,)]
        self._verify_first(name)
        whole = entry_of(&entry, self.stored.path, _name(name))
        array = read_region(self.stored, name, whole, selection.region)
        return array[selection.then]

    cdef object _get(self, str name, copy):
        cdef fck_entry entry
        self.stored.find(name, &entry)
        cdef Row row = row_of(entry.dtype, self.stored.path, name)
        reason = self._why_no_view(&entry, row)
        if reason is None and (copy is None or copy is False):
            return self._view(name, &entry, row)
        if copy is False:
            raise ValueError(f"tensor {name!r}: a view cannot exist: {reason}")
        return read_tensor(self.stored, name, entry_of(&entry, self.stored.path, _name(name)))

    cdef str _why_no_view(self, const fck_entry *entry, Row row):
        if row.item_size == 0:
            return f"elements of {row.name} are not of one size"
        if entry.slice_count > 0:
            return "it is partitioned"
        if self.stored.is_big_endian and row.swap_size > 0:
            return "the file is big-endian"
        if not self.stored.is_mapped:
            return "the backend 'pread' maps nothing"
        return None

    cdef object _view(self, str name, const fck_entry *entry, Row row):
        cdef uint64_t count, size
        cdef npy_intp dims[FCK_MAX_RANK]
        cdef uint32_t i
        cdef cnp.dtype numpy_dtype
        cdef Shard shard = self.stored.shards.get(entry.shard_id)
        if shard is None:
            try:
                shard = self.stored.shard(entry.shard_id, _name(name))
            except CheckpointError as error:
                name_tensor(error, name)
                raise
        if fck_entry_measure(entry, row.item_size, &count, &size) != FCK_OK \
                or <uint64_t>entry.size != size or entry.offset < 0 \
                or <uint64_t>entry.offset > shard.size \
                or size > shard.size - <uint64_t>entry.offset \
                or <int>entry.rank > _MAX_RANK:
            self._blame(name, entry)
        if ends_before(shard.fd, <uint64_t>entry.offset + size):
            try:
                shard.file.check_current_size(entry.offset, size, _name(name))
            except CheckpointError as error:
                name_tensor(error, name)
                raise
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
        whole = entry_of(entry, self.stored.path, what)
        try:
            locate(self.stored, whole, what)
            check_rank(whole.shape, self.stored.path, what)
        except CheckpointError as error:
            explain_data(error, name)
            raise
        raise AssertionError("unreachable")

    cdef int _verify_first(self, str name) except -1:
        """With `verify=True`, verify a tensor that was not asked for yet."""
        if self._verified is not None and name not in self._verified:
            self.stored.verify(name)
            self._verified.add(name)
        return 0


def _name(str name):
    return f"tensor {name!r}"
