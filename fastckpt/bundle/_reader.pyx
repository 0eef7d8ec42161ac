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

from fastckpt.bundle._index cimport Row, decode, info_of, row_of
from fastckpt.format._csrc cimport FCK_MAX_RANK, FCK_OK, fck_entry, fck_entry_measure, fck_reader
from fastckpt.format._record cimport entry_of, exact_name, key_of, shape_of
from fastckpt.format._table cimport Table

import errno
import math
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from functools import partial

from fastckpt.bundle._index import find_hidden_keys, list_infos, list_names
from fastckpt.format._record import decode_header
from fastckpt.errors import AboutTensor, CheckpointError, Fault, FormatError, TensorNotFoundError
from fastckpt.bundle.names import index_path, shard_path
from fastckpt.format.slices import parse_index
from fastckpt.storage.local import File
from fastckpt.bundle.tensors import (
    MAX_RANK, check_rank, locate, read_parts, read_region, read_tensor, slice_parts, verify_tensor,
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


cdef class TensorSlice:
    """A lazy handle on a tensor: `handle[10:20, :]` reads only the bytes that it needs.

    Takes basic indices: integers, slices, Ellipsis and None. The result is a view where
    `Checkpoint.get_tensor` gives one, else a private array. Bytes that are read in part cannot
    be verified; open the checkpoint with `verify=True` to have each tensor verified first.
    """

    cdef Checkpoint _checkpoint
    cdef readonly str name
    cdef readonly tuple shape
    cdef readonly object dtype

    @property
    def ndim(self):
        return len(self.shape)

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of a tensor of rank 0")
        return self.shape[0]

    def __getitem__(self, index):
        return self._checkpoint._read_part(self.name, index)

    def __repr__(self):
        return f"<slice handle of {self.name!r}: shape {self.shape}, dtype {self.dtype}>"


def make_handle(Checkpoint checkpoint not None, str name, tuple shape, dtype):
    """Return a lazy handle on a tensor of a checkpoint that has `_read_part`."""
    cdef TensorSlice handle = TensorSlice.__new__(TensorSlice)
    handle._checkpoint = checkpoint
    handle.name = name
    handle.shape = shape
    handle.dtype = dtype
    return handle


cdef class Checkpoint:
    """A mapping of tensor names, in key (byte) order, to NumPy arrays. Made by `fastckpt.read`.

    `path` is the prefix that was opened, `format` "V2" or "V1", `version` the version of the
    format that wrote it, `byteorder` that of the data files: "little" or "big".
    """

    cdef readonly str path
    cdef readonly str format
    cdef readonly int num_shards
    cdef readonly int version
    cdef readonly str byteorder

    def __init__(self, str path not None, str format not None, int num_shards, int version,
                 str byteorder not None):
        self.path = path
        self.format = format
        self.num_shards = num_shards
        self.version = version
        self.byteorder = byteorder

    # ---- What a format provides ----

    def get_tensor(self, name, *, copy=None):
        """Return a tensor.

        `copy=None` gives a view where one can exist: of fixed-size elements, in a little-endian
        file, not partitioned, with the "mmap" backend. It is read-only, or private and writable
        with `mode="c"`, and may be unaligned. Otherwise the array is a copy: private, writable,
        verified. `copy=True` always copies; `copy=False` raises `ValueError` instead.

        Strings are object arrays of `bytes`. Raises `TensorNotFoundError`, `FormatError`,
        `ChecksumError`, and `UnsupportedError` for variants, resources and more dimensions than
        NumPy has.
        """
        raise NotImplementedError

    def get_slice(self, name):
        """Return a lazy handle on a tensor, to be indexed. Raises `TensorNotFoundError`."""
        raise NotImplementedError

    def info(self, name):
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""
        raise NotImplementedError

    def infos(self):
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""
        raise NotImplementedError

    def problems(self, *, threads=None, progress=None):
        """Yield every problem in key order: a `CheckpointError`, or an `OSError` for a data file
        that cannot be opened, once per file. Reads every byte, in `threads` (default: one per CPU,
        up to 8). `progress` is called with the bytes done and their total."""
        raise NotImplementedError

    def close(self):
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""
        raise NotImplementedError

    def _entry(self, name):
        """Return the `Entry` of a tensor; of a V1 tensor its dtype and shape count."""
        raise NotImplementedError

    def _parts(self, name):
        """Return (stored box or None, `Entry`, `File`) of each range of a tensor's raw bytes;
        None if the bytes are not what a new V2 checkpoint would hold."""
        return None

    def _read_part(self, str name, index):
        """Return the part of a tensor that a basic index selects."""
        raise NotImplementedError

    def _read_parts(self, name):
        """Yield (stored box or None, array) of each part of a tensor, as it is partitioned."""
        yield None, self.get_tensor(name, copy=True)

    # ---- What follows from it ----

    def to_pandas(self):
        """Return a `pandas.DataFrame` with a row for each tensor: its name is the index; columns
        are dtype (TensorFlow's name), shape, count, nbytes, shard, offset, crc32c (None where it
        has none of its own) and slices, how many. Reads no tensor. Raises `ImportError` where
        there is no pandas."""
        try:
            from pandas import DataFrame, Index, array
        except ImportError as error:
            advice = "to_pandas needs pandas: python -m pip install pandas"
            raise ImportError(advice) from error
        infos = self.infos()
        columns = {
            "dtype": [info.tf_dtype for info in infos],
            "shape": [info.shape for info in infos],
            "count": [math.prod(info.shape) for info in infos],
            "nbytes": [info.nbytes for info in infos],
            "shard": array([info.shard for info in infos], dtype="Int64"),
            "offset": array([info.offset for info in infos], dtype="Int64"),
            "crc32c": array([info.crc32c for info in infos], dtype="Int64"),
            "slices": [len(info.slices) for info in infos],
        }
        index = Index([info.name for info in infos], name="name", dtype=object)
        return DataFrame(columns, index)

    def _repr_html_(self):
        from fastckpt.name_tree import grow_tree
        from fastckpt.notebook import line

        try:
            return grow_tree(self.path, self.infos())._repr_html_()
        except (CheckpointError, OSError, ValueError) as error:  # broken or closed
            return line(repr(self), str(error))

    @property
    def object_graph(self):
        """The objects that `tf.train.Checkpoint` or Keras saved, as an `ObjectGraph`: a tree with
        their names. None for a checkpoint of plain names. Read anew each time that it is asked
        for; raises `FormatError` for a graph that is broken."""
        from fastckpt.graph.objects import read_object_graph

        return read_object_graph(self)

    @property
    def variables(self):
        """A dict of readable paths (``model/dense/kernel``) to tensor names, by the object graph;
        without one, of each name to itself. Lookup tables and iterators, which have several
        tensors each, are left out."""
        from fastckpt.graph.objects import read_variables

        return read_variables(self)

    def __getitem__(self, name):
        return self.get_tensor(name)

    def __contains__(self, name):
        raise NotImplementedError

    def __iter__(self):
        raise NotImplementedError

    def __len__(self):
        raise NotImplementedError

    def verify(self, *, threads=None, progress=None):
        """Read and verify every byte, in threads; raise the first problem in key order. The
        options are those of `problems`."""
        for problem in self.problems(threads=threads, progress=progress):
            raise problem

    def keys(self):
        """Return a view of the names, in key order."""
        return KeysView(self)

    def values(self):
        """Return a view of the tensors: each is got when the iteration comes to it."""
        return ValuesView(self)

    def items(self):
        """Return a view of the (name, tensor) pairs: each is got when its turn comes."""
        return ItemsView(self)

    def get(self, name, default=None):
        """Return the tensor of this name, or the default if there is none."""
        return self[name] if name in self else default

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


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


cdef class Bundle(Checkpoint):
    """A V2 checkpoint. See `fastckpt.read` for the options."""

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
        num_shards, self._is_big_endian, version = decode_header(table.first(), file.path)
        byteorder = "big" if self._is_big_endian else "little"
        super().__init__(path, "V2", num_shards, version, byteorder)
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

    def __reduce__(self):
        return _reopen, (self.path, self.verify_on_access, self.backend, self.mode)

    def close(self):
        with cython.critical_section(self):  # other threads may be about to take the table
            self._table = None
        self._shards.clear()

    # ---- What there is ----

    def info(self, name):
        cdef fck_entry entry
        name = exact_name(name)
        self._find(name, &entry)
        return info_of(self, self.path, name, &entry)

    def infos(self):
        return list_infos(self, self.path, self._open_table(), self._hidden_keys())

    # ---- Tensors ----

    def get_tensor(self, name, *, copy=None):
        return self._get(exact_name(name), copy)

    def get_slice(self, name):
        cdef fck_entry entry
        name = exact_name(name)
        self._find(name, &entry)
        cdef Row row = row_of(entry.dtype, self.path, name)
        return make_handle(self, name, shape_of(&entry), row.numpy())

    def problems(self, *, threads=None, progress=None):
        from fastckpt.bundle.verify import find_problems

        return find_problems(self, threads=threads, progress=progress)

    # ---- What tensors.py, verify.py and writer.py build on ----

    @property
    def index_path(self):
        """The path of the index file."""
        return index_path(self.path)

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
        decode(self.path, name, record, entry)
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
            keys = find_hidden_keys(self._open_table(), self.path)
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
        cdef Row row = row_of(entry.dtype, self.path, name)
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
        numpy_dtype = row.numpy()
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
            check_rank(self, whole.shape, what)
        raise AssertionError("unreachable")

    cdef int _verify_first(self, str name) except -1:
        """With `verify=True`, verify a tensor that was not asked for yet."""
        if self._verified is not None and name not in self._verified:
            self._verify_data(name)
            self._verified.add(name)
        return 0

    def _read_part(self, str name, index):
        cdef fck_entry entry
        self._find(name, &entry)
        selection = parse_index(index, shape_of(&entry))
        row = row_of(entry.dtype, self.path, name)
        if self._why_no_view(&entry, row) is None:
            view = self._view(name, &entry, row)
            return view[index] if isinstance(index, tuple) else view[(index,)]
        self._verify_first(name)
        array = read_region(self, name, self._to_entry(name, &entry), selection.region)
        return array[selection.then]

    cdef object _to_entry(self, str name, const fck_entry *entry):
        return entry_of(entry, self.index_path, _name(name))


def _reopen(path, verify, backend, mode):
    return Bundle(path, verify=verify, backend=backend, mode=mode)


def _name(str name):
    return f"tensor {name!r}"


Mapping.register(Checkpoint)
