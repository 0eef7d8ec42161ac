"""V2 checkpoints: an index and its shards as a mapping of names to arrays.

`Bundle.__getitem__` is the hot path: from the name to a view without Python calls on the way.
Everything else is built for clarity, on `Entry` and the classes of storage.py.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from numpy cimport NPY_ARRAY_WRITEABLE, PyArray_DATA, PyArray_SetBaseObject, ndarray, npy_intp

from fastckpt._csrc cimport (
    FCK_MAX_RANK, FCK_OK, cbool, fck_block_iter, fck_block_iter_begin, fck_block_iter_next, fck_buf,
    fck_buf_free, fck_entry, fck_entry_decode, fck_entry_measure, fck_reader, fck_status,
)
from fastckpt._proto cimport Entry, entry_of, key_of, name_of, shape_of, unmask_crc
from fastckpt._sstable cimport LoadedBlock, Table
from fastckpt._status cimport check, explain

import errno
from collections.abc import ItemsView, KeysView, Mapping, ValuesView

import numpy as np

from fastckpt import dtypes
from fastckpt._payload import decode_strings, verify_variants
from fastckpt._proto import decode_entry, decode_header, slice_key
from fastckpt.errors import (
    CheckpointError, ChecksumError, FormatError, TensorNotFoundError, UnsupportedError,
)
from fastckpt.names import index_path, shard_path
from fastckpt.slices import (
    Region, byte_runs, find_tiling_fault, overlap, parse_index, resolve, to_slices,
)
from fastckpt.storage import File

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    # steals a reference to the dtype
    ndarray PyArray_NewFromDescr(type subtype, cnp.dtype dtype, int rank, const npy_intp *dims,
                                 const npy_intp *strides, void *data, int flags, object like)


cdef int _MAX_NUMPY_RANK = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
cdef int _NUM_DTYPES = 64


cdef class _Row:
    """A row of dtypes.py, as the hot path reads it."""

    cdef readonly object dtype      # dtypes.DType
    cdef readonly str name
    cdef readonly uint32_t item_size
    cdef readonly uint32_t swap_size
    cdef object _numpy              # np.dtype; None until it is first used

    def __init__(self, dtype):
        self.dtype = dtype
        self.name = dtype.name
        self.item_size = dtype.item_size
        self.swap_size = dtype.swap_size

    cdef object numpy(self):
        if self._numpy is None:
            self._numpy = self.dtype.numpy
        return self._numpy


cdef list _ROWS = [
    _Row(dtypes.by_number(number)) if dtypes.by_number(number) else None
    for number in range(_NUM_DTYPES)
]
cdef int _STRING = dtypes.STRING.number
cdef int _VARIANT = 21


cdef _Row _row_of(int number, str path, str name):
    """The row of a tensor's dtype; `path` is the prefix."""
    row = _ROWS[number] if 0 <= number < _NUM_DTYPES else None
    if row is None:
        raise UnsupportedError(index_path(path), f"entry of tensor {name!r}",
                               f"expected a known dtype, got number {number}")
    return row


@cython.no_gc  # holds nothing that could hold it; a hundred thousand would keep the GC busy
cdef class TensorInfo:
    """What an index says of a tensor. Made without touching the data.

    `dtype` is the NumPy dtype of the array that reading gives (object for strings, variants and
    resources), `tf_dtype` the name that `tf.DType.name` gives. `nbytes` is the size in the
    data files. `shard`, `offset` (bytes in that shard) and `crc32c` (not masked) are None for a
    partitioned tensor, whose `slices` holds a tuple of `slice` objects per part; it is empty
    for every other tensor.
    """

    cdef readonly str name
    cdef readonly object dtype
    cdef readonly str tf_dtype
    cdef readonly tuple shape
    cdef readonly int64_t nbytes
    cdef int _shard
    cdef int64_t _offset
    cdef uint32_t _crc32c
    cdef readonly tuple slices

    @property
    def shard(self):
        return None if self.slices else self._shard

    @property
    def offset(self):
        return None if self.slices else self._offset

    @property
    def crc32c(self):
        return None if self.slices else self._crc32c

    def _fields(self):
        return (self.name, self.dtype, self.tf_dtype, self.shape, self.nbytes, self._shard,
                self._offset, self._crc32c, self.slices)

    def __eq__(self, other):
        if not isinstance(other, TensorInfo):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self):
        return hash((self.name, self.tf_dtype, self.shape, self._shard, self._offset))

    def __reduce__(self):
        return _make_info, self._fields()

    def __repr__(self):
        return (f"TensorInfo(name={self.name!r}, dtype={self.dtype}, tf_dtype={self.tf_dtype!r}, "
                f"shape={self.shape}, nbytes={self.nbytes}, shard={self.shard}, "
                f"offset={self.offset}, crc32c={self.crc32c}, slices={self.slices})")


def _make_info(str name, dtype, str tf_dtype, tuple shape, int64_t nbytes, int shard,
               int64_t offset, uint32_t crc32c, tuple slices):
    cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
    info.name = name
    info.dtype = dtype
    info.tf_dtype = tf_dtype
    info.shape = shape
    info.nbytes = nbytes
    info._shard = shard
    info._offset = offset
    info._crc32c = crc32c
    info.slices = slices
    return info


cdef class TensorSlice:
    """A lazy handle on a tensor: `handle[10:20, :]` reads only the bytes that it needs.

    Takes basic indices: integers, slices, Ellipsis and None. The result is a view where
    `Checkpoint.get_tensor` gives one, else a private array. Bytes that are read in part cannot
    be verified; open the checkpoint with `verify=True` to have each tensor verified first.
    """

    cdef Bundle _checkpoint
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

    def _parts(self, str name not None):
        """Return (stored box or None, `Entry`, `File`) of each range of a tensor's raw bytes;
        None if the bytes are not what a new V2 checkpoint would hold."""
        return None

    def keys(self):
        return KeysView(self)

    def values(self):
        return ValuesView(self)

    def items(self):
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

    def __init__(self, file, map):
        self.file = file
        self.size = file.size
        self.map = map
        self.data = NULL if map is None else <char *>PyArray_DATA(map)


cdef class Bundle(Checkpoint):
    """A V2 checkpoint. See `fastckpt.read` for the options."""

    cdef Table _table           # None when closed
    cdef dict _shards           # number -> _Shard, as they are opened
    cdef set _verified          # names whose bytes were verified; None unless asked to
    cdef frozenset _hidden      # keys of slices; None until it is first needed
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
        self.path = path
        self.format = "V2"
        file = File(index_path(path))
        table = Table(file)
        self.num_shards, self._is_big_endian, self.version = decode_header(
            table.first(), file.path)
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

    def __getitem__(self, str name not None):
        return self._get(name, None)

    def __contains__(self, name):
        cdef fck_entry entry
        return isinstance(name, str) and self._look_up(name, &entry)

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
        if self._table is None:
            return f"<closed checkpoint {self.path!r}>"
        return f"<checkpoint {self.path!r}: format V2, shards: {self.num_shards}>"

    def __reduce__(self):
        return _reopen, (self.path, self.verify_on_access, self.backend, self.mode)

    def close(self):
        """Drop the checkpoint's own references. Arrays that were handed out stay valid."""
        self._table = None
        self._shards = {}

    # ---- What there is ----

    def info(self, str name not None):
        """Return the `TensorInfo` of a tensor. Raises `TensorNotFoundError`."""
        cdef fck_entry entry
        self._find(name, &entry)
        return self._info_of(name, &entry)

    def infos(self):
        """Return the `TensorInfo` of every tensor, in key order, without touching data."""
        cdef Table table = self._open_table()
        cdef size_t i
        infos = []
        hidden = self._hidden_keys()
        for i in range(table.block_count()):
            self._append_infos(table, i, hidden, infos)
        return infos

    # ---- Tensors ----

    def get_tensor(self, str name not None, *, copy=None):
        """Return a tensor.

        `copy=None` gives a view where one can exist: of fixed-size elements, in a little-endian
        file, not partitioned, with the "mmap" backend. It is read-only, or private and writable
        with `mode="c"`, and may be unaligned. Otherwise the array is a copy: private, writable,
        verified. `copy=True` always copies; `copy=False` raises `ValueError` instead.

        Strings are object arrays of `bytes`. Raises `TensorNotFoundError`, `FormatError`,
        `ChecksumError`, and `UnsupportedError` for variants, resources and more dimensions than
        NumPy has.
        """
        return self._get(name, copy)

    def get_slice(self, str name not None):
        """Return a lazy handle on a tensor, to be indexed. Raises `TensorNotFoundError`."""
        cdef fck_entry entry
        self._find(name, &entry)
        row = _row_of(entry.dtype, self.path, name)
        cdef TensorSlice handle = TensorSlice.__new__(TensorSlice)
        handle._checkpoint = self
        handle.name = name
        handle.shape = shape_of(&entry)
        handle.dtype = (<_Row>row).numpy()
        return handle

    # ---- Verification ----

    def verify(self):
        """Read and verify every byte, in threads; raise the first problem in key order."""
        for problem in self.problems():
            raise problem

    def problems(self):
        """Yield every problem, in key order: a `CheckpointError`, or an `OSError` for a file.

        A data file that cannot be opened is one problem, not one per tensor.
        """
        from fastckpt.parallel import batches, ordered_map

        seen = set()
        for problem in self._index_problems():
            yield problem
        sizes = self._readable_sizes()
        for found in ordered_map(self._check_each, batches(sizes)):
            for problem in found:
                if isinstance(problem, OSError):
                    if problem.filename in seen:
                        continue
                    seen.add(problem.filename)
                yield problem

    def _check_each(self, list names not None):
        """Return the problems of some tensors' data."""
        problems = []
        for name in names:
            try:
                self._check_data(name)
            except (CheckpointError, OSError) as error:
                problems.append(error)
        return problems

    # ---- What other modules of the package build on ----

    def _entry(self, str name not None):
        """Return the `Entry` of a tensor; its slices are as stored."""
        cdef fck_entry entry
        self._find(name, &entry)
        return entry_of(&entry, self._index_path(), _name(name))

    def _slice_entries(self, str name not None, Entry whole not None):
        """Yield each slice of a partitioned tensor: (stored box, resolved box, `Entry`).

        Raises `FormatError` for one that does not fit the tensor.
        """
        path = self._index_path()
        key = key_of(name)
        for box in whole.slices:
            what = f"slice {_spell(box)} of tensor {name!r}"
            resolved = resolve(box, whole.shape)
            if resolved is None:
                raise FormatError(path, what, f"expected a part of {whole.shape}, got one beyond")
            record = self._open_table().get(slice_key(key, box))
            if record is None:
                raise FormatError(path, what, "expected an entry for the slice, got none")
            part = decode_entry(record, path, what)
            shape = tuple([length for _, length in resolved])
            if part.dtype != whole.dtype or part.shape != shape or part.slices:
                raise FormatError(
                    path, what, f"expected dtype {whole.dtype} and shape {shape} as the tensor "
                    f"has them, got dtype {part.dtype} and shape {part.shape}")
            yield box, resolved, part

    def _parts(self, str name not None):
        cdef Entry whole = self._entry(name)
        if self._is_big_endian:
            return None
        if not whole.slices:
            return [(None, whole, self._range(whole, _name(name)))]
        return [(box, part, self._range(part, f"slice {_spell(box)} of tensor {name!r}"))
                for box, _, part in self._slice_entries(name, whole)]

    def _range(self, Entry entry not None, what):
        """Return the `File` that holds an entry's bytes, its payload checked: what may be read.

        The entry must be of one tensor or one slice, not of a partitioned whole.
        """
        row = _row_of(entry.dtype, self.path, what)
        _item_count(entry, row, self._index_path(), what)
        cdef _Shard shard = self._shard(entry.shard_id, what)
        if entry.offset < 0 or entry.size < 0 or entry.offset > shard.file.size \
                or entry.size > shard.file.size - entry.offset:
            raise FormatError(shard.file.path, f"{what} at {entry.offset}",
                              f"expected {entry.size} bytes, got a file of {shard.file.size}")
        return shard.file

    # ---- Private ----

    cdef Table _open_table(self):
        if self._table is None:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._table

    cdef _index_path(self):
        return self._open_table().file.path

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
        cdef fck_status status = fck_entry_decode(record, entry)
        if status != FCK_OK:
            check(status, table.file.path, f"entry of {_name(name)}")
        return True

    cdef int _find(self, str name, fck_entry *entry) except -1:
        if not self._look_up(name, entry):
            raise TensorNotFoundError(self.path, name, self._names)
        return 0

    def _names(self):
        cdef Table table = self._open_table()
        cdef size_t i
        names = []
        hidden = self._hidden_keys()
        for i in range(table.block_count()):
            _append_names(table, i, hidden, names)
        return names

    cdef frozenset _hidden_keys(self):
        """The keys of slices that some entry lists. Without a key that begins with NUL there are
        none, and to know that takes one look at the first names."""
        if self._hidden is None:
            self._hidden = self._find_hidden_keys() if self._has_nul_key() else frozenset()
        return self._hidden

    cdef bint _has_nul_key(self) except -1:
        cdef Table table = self._open_table()
        cdef fck_block_iter it
        cdef cbool has_entry = True
        cdef size_t i
        cdef bint found = False
        it.key = fck_buf(NULL, 0, 0)
        try:
            for i in range(table.block_count()):
                fck_block_iter_begin(&it, &table.block(i).view)
                while True:
                    check(fck_block_iter_next(&it, &has_entry), table.file.path, "block")
                    if not has_entry:
                        break
                    if it.key.size > 0:  # not the header
                        return it.key.data[0] == 0
        finally:
            fck_buf_free(&it.key)
        return found

    cdef frozenset _find_hidden_keys(self):
        cdef Table table = self._open_table()
        cdef fck_entry entry
        path = self._index_path()
        hidden = []
        for key, record in table.items():
            if not key or b"\x3a" not in record:  # the tag of the field `slices`
                continue
            whole = decode_entry(record, path, f"entry of tensor {key!r}")
            hidden.extend([slice_key(key, box) for box in whole.slices])
        return frozenset(hidden)

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
                              f"expected a shard below {self.num_shards}, got {number}")
        path = shard_path(self.path, number, self.num_shards)
        try:
            file = File(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                errno.ENOENT, f"data file {number + 1} of {self.num_shards} is missing", path,
            ) from None
        if not table.file.is_current():
            raise CheckpointError(
                table.file.path, "index",
                "expected the file that was opened, got another one or none: the checkpoint was "
                "saved again or removed meanwhile; read it anew")
        map = file.map(writable=self.mode == "c") if self._is_mapped else None
        return _Shard(file, map)

    cdef object _get(self, str name, copy):
        cdef fck_entry entry
        cdef _Row row
        self._find(name, &entry)
        row = _row_of(entry.dtype, self.path, name)
        reason = self._why_no_view(&entry, row)
        if reason is None and (copy is None or copy is False):
            return self._view(name, &entry, row)
        if copy is False:
            raise ValueError(f"tensor {name!r}: a view cannot exist: {reason}")
        return self._copy(name, entry_of(&entry, self._index_path(), _name(name)), row)

    cdef str _why_no_view(self, const fck_entry *entry, _Row row):
        if row.item_size == 0:
            return f"elements of {row.name} are not of one size"
        if entry.slice_count > 0:
            return "it is partitioned"
        if self._is_big_endian and row.swap_size > 0:
            return "the file is big-endian"
        if not self._is_mapped:
            return "the backend 'pread' maps nothing"
        return None

    cdef object _view(self, str name, const fck_entry *entry, _Row row):
        cdef uint64_t count, size
        cdef npy_intp dims[FCK_MAX_RANK]
        cdef uint32_t i
        cdef cnp.dtype numpy_dtype
        cdef _Shard shard = self._shards.get(entry.shard_id)
        if shard is None:
            shard = self._shard(entry.shard_id, _name(name))
        if fck_entry_measure(entry, row.item_size, &count, &size) != FCK_OK \
                or <uint64_t>entry.size != size or entry.offset < 0 \
                or <uint64_t>entry.offset > shard.size \
                or size > shard.size - <uint64_t>entry.offset \
                or <int>entry.rank > _MAX_NUMPY_RANK:
            self._blame(name, entry, row)
        if self._verified is not None and name not in self._verified:
            self._verify_fixed(shard.file, entry_of(entry, self.path, name), _name(name))
            self._verified.add(name)
        for i in range(entry.rank):
            dims[i] = <npy_intp>entry.dims[i]
        numpy_dtype = row.numpy()
        Py_INCREF(numpy_dtype)  # stolen by the call, as the map is by the next one
        array = PyArray_NewFromDescr(ndarray, numpy_dtype, <int>entry.rank, dims, NULL,
                                     shard.data + entry.offset, self._view_flags, None)
        Py_INCREF(shard.map)
        PyArray_SetBaseObject(array, shard.map)
        return array

    cdef int _blame(self, str name, const fck_entry *entry, _Row row) except -1:
        """Raise what makes an entry unfit for a view."""
        what = _name(name)
        whole = entry_of(entry, self._index_path(), what)
        self._range(whole, what)
        _check_rank(whole.shape, self._index_path(), what)
        raise AssertionError("unreachable")

    cdef object _copy(self, str name, Entry entry, _Row row):
        """A private, verified array of a whole tensor."""
        what = _name(name)
        _check_rank(entry.shape, self._index_path(), what)
        if not entry.slices:
            return self._copy_plain(entry, row, what)
        whole = Region((0,) * len(entry.shape), entry.shape, (1,) * len(entry.shape))
        return self._assemble(name, entry, row, whole, True)

    cdef object _copy_plain(self, Entry entry, _Row row, what):
        """A private, verified array of an entry that holds its own bytes."""
        file = self._range(entry, what)
        if row.item_size == 0:
            return self._copy_strings(file, entry, row, what)
        array = np.empty(entry.shape, row.numpy())
        self._read_verified(file, entry, array, what)
        return array

    cdef int _read_verified(self, file, Entry entry, array, what) except -1:
        """Fill a C-contiguous array with an entry's bytes."""
        cdef _Row row = _ROWS[entry.dtype]
        raw = array.reshape(-1).view(np.uint8)
        actual = file.read_into(raw, entry.offset, what)
        if actual != entry.crc32c:
            raise ChecksumError(file.path, f"{what} at {entry.offset}", entry.crc32c, actual)
        self._to_native(raw, row)
        return 0

    cdef int _to_native(self, raw, _Row row) except -1:
        if self._is_big_endian and row.swap_size > 0:
            raw.view(f"u{row.swap_size}").byteswap(inplace=True)
        return 0

    cdef object _copy_strings(self, file, Entry entry, _Row row, what):
        if entry.dtype != _STRING:
            raise UnsupportedError(
                file.path, what, f"expected a dtype that NumPy can hold, got {row.name}")
        payload = file.read(entry.offset, entry.size, what)
        count = _item_count(entry, row, self._index_path(), what)
        strings = decode_strings(payload, count, self._is_big_endian, entry.crc32c, file.path,
                                 f"{what} at {entry.offset}")
        array = np.empty(entry.shape, object)
        array.reshape(-1)[:] = strings
        return array

    cdef int _verify_fixed(self, file, Entry entry, what) except -1:
        actual = file.checksum(entry.offset, entry.size, what)
        if actual != entry.crc32c:
            raise ChecksumError(file.path, f"{what} at {entry.offset}", entry.crc32c, actual)
        return 0

    def _read_part(self, str name, index):
        """Return the part of a tensor that a basic index selects."""
        cdef fck_entry found
        self._find(name, &found)
        what = _name(name)
        cdef _Row row = _row_of(found.dtype, self.path, name)
        reason = self._why_no_view(&found, row)
        if reason is None:
            view = self._view(name, &found, row)
            selection = parse_index(index, view.shape)
            return view[index] if isinstance(index, tuple) else view[(index,)]
        entry = entry_of(&found, self._index_path(), what)
        selection = parse_index(index, entry.shape)
        _check_rank(entry.shape, self._index_path(), what)
        if self._verified is not None and name not in self._verified:
            self._check_data(name)
            self._verified.add(name)
        if entry.slices:
            array = self._assemble(name, entry, row, selection.region, False)
        else:
            array = self._read_region(entry, row, selection.region, what)
        return array[selection.then]

    cdef object _read_region(self, Entry entry, _Row row, region, what):
        """A private array of a region of an entry that holds its own bytes, not verified."""
        file = self._range(entry, what)
        if row.item_size == 0:
            strings = self._copy_strings(file, entry, row, what)
            return strings[_strided(region)]
        array = np.empty(region.counts, row.numpy())
        if array.size == 0:
            return array
        runs = byte_runs(region, entry.shape, row.item_size)
        targets = array.reshape((-1, *runs.shape))
        buffer = np.empty(runs.size, np.uint8)
        source = np.ndarray(runs.shape, row.numpy(), buffer, 0, runs.strides)
        for target, offset in zip(targets, runs.offsets, strict=True):
            file.read_into(buffer, entry.offset + offset, what)
            target[...] = source
        self._to_native(array.reshape(-1).view(np.uint8), row)
        return array

    cdef object _assemble(self, str name, Entry whole, _Row row, region, bint is_whole):
        """A private array of a region of a partitioned tensor; verified if it is the whole."""
        what = _name(name)
        parts = []
        stored = 0
        for box, resolved, part in self._slice_entries(name, whole):
            shared = overlap(region, resolved)
            if shared is None:
                continue
            where = f"slice {_spell(box)} of tensor {name!r}"
            self._range(part, where)
            stored += part.size
            parts.append((part, where, *shared))
        self._check_tiling(what, region.counts, stored, row, [part[3] for part in parts])
        array = np.empty(region.counts, row.numpy())
        for part, where, inner, places in parts:
            if is_whole:
                array[places] = self._copy_plain(part, row, where)
            else:
                array[places] = self._read_region(part, row, inner, where)
        return array

    cdef int _check_tiling(self, what, shape, stored, _Row row, places) except -1:
        """Raise unless parts cover a shape exactly once; first of all that they could."""
        count = 1
        for dim in shape:
            count *= dim
        fault = None
        if row.item_size and count * row.item_size > stored:
            fault = f"{count * row.item_size} bytes are needed, {stored} are stored"
        if fault is None:
            boxes = [tuple([(p.start, p.stop - p.start) for p in place]) for place in places]
            fault = find_tiling_fault(shape, boxes)
        if fault is not None:
            raise FormatError(self._index_path(), what,
                              f"expected slices that cover {tuple(shape)} exactly once, "
                              f"but {fault}")
        return 0

    def _check_data(self, str name not None):
        """Verify a tensor's bytes, slice by slice if it has some, in the memory of one chunk."""
        cdef Entry whole = self._entry(name)
        cdef _Row row = _row_of(whole.dtype, self.path, name)
        if not whole.slices:
            self._check_plain(whole, row, _name(name))
            return
        places = []
        stored = 0
        for box, resolved, part in self._slice_entries(name, whole):
            self._check_plain(part, row, f"slice {_spell(box)} of tensor {name!r}")
            places.append(to_slices(resolved))
            stored += part.size
        self._check_tiling(_name(name), whole.shape, stored, row, places)

    cdef int _check_plain(self, Entry entry, _Row row, what) except -1:
        file = self._range(entry, what)
        if row.item_size > 0:
            return self._verify_fixed(file, entry, what)
        count = _item_count(entry, row, self._index_path(), what)
        payload = file.read(entry.offset, entry.size, what)
        if entry.dtype == _STRING:
            decode_strings(payload, count, self._is_big_endian, entry.crc32c, file.path, what)
        elif entry.dtype == _VARIANT and not self._is_big_endian:
            verify_variants(payload, count, entry.crc32c, file.path, what)
        else:
            raise UnsupportedError(file.path, what, f"expected bytes to verify, got {row.name}")
        return 0

    def _index_problems(self):
        """Yield what is wrong with the index itself."""
        cdef Table table = self._open_table()
        for i in range(table.block_count()):
            try:
                items = table.block_items(i)
            except CheckpointError as error:
                yield error
                continue
            for key, record in items:
                try:
                    if key:
                        _row_of(decode_entry(record, table.file.path, f"entry {key!r}").dtype,
                                self.path, repr(key))
                except CheckpointError as error:
                    yield error

    def _readable_sizes(self):
        """Return (name, bytes) of every tensor whose entry can be read."""
        cdef Table table = self._open_table()
        sizes = []
        try:
            hidden = self._hidden_keys()
        except CheckpointError:  # which _index_problems has told
            hidden = frozenset()
        for i in range(table.block_count()):
            try:
                items = table.block_items(i)
            except CheckpointError:
                continue
            for key, record in items:
                if not key or key in hidden:
                    continue
                name = name_of(<const unsigned char *><const char *>key, len(key))
                try:
                    entry = decode_entry(record, table.file.path, name)
                    _row_of(entry.dtype, self.path, name)
                except CheckpointError:
                    continue
                sizes.append((name, max(0, entry.size)))
        return sizes

    cdef TensorInfo _info_of(self, str name, const fck_entry *entry):
        cdef _Row row
        row = _row_of(entry.dtype, self.path, name)
        cdef int64_t nbytes = entry.size
        slices = ()
        if entry.slice_count > 0:
            whole = entry_of(entry, self._index_path(), _name(name))
            parts = list(self._slice_entries(name, whole))
            slices = tuple([to_slices(resolved) for _, resolved, _ in parts])
            nbytes = sum([part.size for _, _, part in parts])
        cdef TensorInfo info = TensorInfo.__new__(TensorInfo)
        info.name = name
        info.dtype = row.numpy()
        info.tf_dtype = row.name
        info.shape = shape_of(entry)
        info.nbytes = nbytes
        info._shard = entry.shard_id
        info._offset = entry.offset
        info._crc32c = unmask_crc(entry.masked_crc32c)
        info.slices = slices
        return info

    cdef int _append_infos(self, Table table, size_t i, frozenset hidden, list infos) except -1:
        cdef const LoadedBlock *block = table.block(i)
        cdef fck_block_iter it
        cdef fck_entry entry
        cdef cbool has_entry = True
        it.key = fck_buf(NULL, 0, 0)
        fck_block_iter_begin(&it, &block.view)
        try:
            while True:
                check(fck_block_iter_next(&it, &has_entry), table.file.path, "block")
                if not has_entry:
                    return 0
                if _is_hidden(&it.key, hidden):
                    continue
                name = name_of(it.key.data, it.key.size)
                status = fck_entry_decode(it.value, &entry)
                if status != FCK_OK:
                    check(status, table.file.path, f"entry of {_name(name)}")
                infos.append(self._info_of(name, &entry))
        finally:
            fck_buf_free(&it.key)


cdef int _append_names(Table table, size_t i, frozenset hidden, list names) except -1:
    cdef const LoadedBlock *block = table.block(i)
    cdef fck_block_iter it
    cdef cbool has_entry = True
    it.key = fck_buf(NULL, 0, 0)
    fck_block_iter_begin(&it, &block.view)
    try:
        while True:
            if fck_block_iter_next(&it, &has_entry) != FCK_OK or not has_entry:
                return 0  # the block was verified: nothing fails here but memory
            if not _is_hidden(&it.key, hidden):
                names.append(name_of(it.key.data, it.key.size))
    finally:
        fck_buf_free(&it.key)


cdef bint _is_hidden(const fck_buf *key, frozenset hidden) except -1:
    """Whether a key is the header's or a slice's."""
    if key.size == 0:
        return True
    return key.data[0] == 0 and (<const char *>key.data)[:key.size] in hidden


def _reopen(path, verify, backend, mode):
    return Bundle(path, verify=verify, backend=backend, mode=mode)


def _name(str name):
    return f"tensor {name!r}"


cdef str _spell(tuple box):
    """A slice as `shape_and_slices` spells it."""
    return ":".join(["-" if length < 0 else f"{start},{length}" for start, length in box])


cdef int _check_rank(tuple shape, path, what) except -1:
    if len(shape) > _MAX_NUMPY_RANK:
        raise UnsupportedError(
            path, what, f"expected at most NumPy's {_MAX_NUMPY_RANK} dimensions, got {len(shape)}")
    return 0


cdef tuple _strided(region):
    """A region as an index."""
    return tuple([slice(start, start + count * step, step)
                  for start, count, step in zip(*region)])


cdef object _item_count(Entry entry, _Row row, path, what):
    """The number of elements, after a check that the entry's size is what they need."""
    cdef fck_entry plain
    cdef uint64_t count, size
    cdef uint32_t i
    plain.rank = <uint32_t>len(entry.shape)
    for i in range(plain.rank):
        plain.dims[i] = entry.shape[i]
    check(fck_entry_measure(&plain, row.item_size or 1, &count, &size), path, what)
    if row.item_size > 0 and <int64_t>size != entry.size:
        raise FormatError(
            path, f"entry of {what}", f"expected {size} bytes for dtype {row.name} and shape "
            f"{entry.shape}, got {entry.size}")
    return count


Mapping.register(Checkpoint)
