"""Real TensorFlow in a process of its own, asked over a pipe: what the live tests compare with.

The same file is both ends. As a program it is the worker, and runs under Python 3.7 with
TensorFlow 1.15 as well as under Python 3.11 with TensorFlow 2.21, hence its plain syntax.
Imported, it gives `Oracle`, the client.

A message is a 64-bit little-endian length and that many bytes of a pickle (protocol 4). The
client sends ``(command, arguments)``; the worker answers ``("ok", result)`` or ``("error", name
of the exception's class, message)``, and sends one ``("ok", {"version", "dtypes"})`` when it is
ready. A tensor crosses the pipe as ``(tf dtype name, shape, payload)``: the payload is the bytes
in C order, little-endian, one byte per element for the types below one byte, or a list of
`bytes` for strings. A NumPy array would not do: its pickles differ between the two NumPys.
"""

# ruff: noqa: B905 - zip(strict=) is newer than the worker's Python 3.7

import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading

TIMEOUT = 120  # seconds; a worker that takes longer to answer is killed
QUANTIZED = {
    "qint8": "int8",
    "quint8": "uint8",
    "qint16": "int16",
    "quint16": "uint16",
    "qint32": "int32",
}
DTYPES = """
    float32 float64 int32 uint8 int16 int8 string complex64 int64 bool qint8 quint8 qint32 bfloat16
    qint16 quint16 uint16 complex128 float16 uint32 uint64 float8_e5m2 float8_e4m3fn
    float8_e4m3fnuz float8_e4m3b11fnuz float8_e5m2fnuz int4 uint4 int2 uint2 float4_e2m1fn
""".split()  # noqa: SIM905 - a list of literals takes a line each


USED_BITS = {  # of a byte, where not all
    "bool": 0x01,
    "int2": 0x03,
    "uint2": 0x03,
    "int4": 0x0F,
    "uint4": 0x0F,
    "float4_e2m1fn": 0x0F,
}


class OracleError(Exception):
    """TensorFlow refused. `kind` is the name of its exception's class."""

    def __init__(self, kind, message):
        super().__init__(kind + ": " + message)
        self.kind = kind
        self.message = message


class OracleDied(OracleError):
    """TensorFlow took its process down. The next question goes to a new worker."""


class Oracle:
    """The client. Starts the worker when first asked, and again after it died.

    `version` is TensorFlow's, `dtypes` the names of those that it can save. `script` is the
    program of the worker: a subclass has another one, with commands of its own.
    """

    script = os.path.abspath(__file__)

    def __init__(self, python=sys.executable):
        self.python = python
        self._process = None
        self._log = None
        self._hello = None

    @property
    def version(self):
        return self._greet()["version"]

    @property
    def dtypes(self):
        return self._greet()["dtypes"]

    def save(self, prefix, names, slice_specs, tensors):
        """Run SaveV2 with these names (bytes), specs (str) and tensors, in this order."""
        return self._ask("save", str(prefix), list(names), list(slice_specs), list(tensors))

    def merge(self, prefixes, destination):
        """Run MergeV2Checkpoints."""
        return self._ask("merge", [str(prefix) for prefix in prefixes], str(destination))

    def read(self, prefix):
        """Return what NewCheckpointReader finds: {name (bytes): tensor}.

        Where get_tensor fails, the payload is the `OracleError` that it failed with.
        """
        found = self._ask("read", str(prefix))
        return {
            name: tensor[:2] + (OracleError(*tensor[3]) if tensor[3] else tensor[2],)
            for name, tensor in found.items()
        }

    def restore(self, prefix, requests):
        """Run RestoreV2 for [(name, slice spec, dtype name)]: a list of tensors."""
        return self._ask("restore", str(prefix), list(requests))

    def saver_restore(self, prefix, variables):
        """Build a graph of variables, run tf.train.Saver().restore, return {name: tensor}.

        `variables` is [(name (str), dtype name, shape, parts)]; parts is None or how many parts
        the partitioner makes along each axis.
        """
        return self._ask("saver_restore", str(prefix), list(variables))

    def close(self):
        """End the worker."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._log.close()
        self._process = self._hello = None

    def _greet(self):
        if self._process is None:
            self._start()
        return self._hello

    def _start(self):
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="-1")
        environment["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))  # and nothing else
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [self.python, self.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        self._hello = self._answer()

    def _ask(self, command, *arguments):
        self._greet()
        try:
            send(self._process.stdin, (command, arguments))
        except BrokenPipeError:
            self._bury()
        return self._answer()

    def _answer(self):
        watchdog = threading.Timer(TIMEOUT, self._process.kill)
        watchdog.start()
        try:
            answer = receive(self._process.stdout)
        except EOFError:
            self._bury()
        finally:
            watchdog.cancel()
        if answer[0] == "error":
            raise OracleError(*answer[1:])
        return answer[1]

    def _bury(self):
        code = self._process.wait()
        self._log.seek(0)
        last_words = self._log.read()[-2000:].decode("utf-8", "replace")
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
        self._process = self._hello = None
        raise OracleDied(f"exit code {code}", last_words)


def numpy_dtype(name):
    """NumPy's dtype for TensorFlow's name of one, little-endian. Not for the worker."""
    import ml_dtypes
    import numpy as np

    if name == "string":
        return np.dtype(object)
    name = QUANTIZED.get(name, name)
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def to_tensor(array):
    """An array as it crosses the pipe."""
    if array.dtype == object:
        return "string", array.shape, array.reshape(-1).tolist()
    native = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
    return array.dtype.name, array.shape, native.tobytes()


def from_bytes(name, shape, data):
    """An array of a dtype by TensorFlow's name, with values made of arbitrary bytes."""
    import numpy as np

    dtype = numpy_dtype(name)
    raw = np.frombuffer(data, np.uint8) & np.uint8(USED_BITS.get(name, 0xFF))
    return raw.view(dtype).reshape(shape)


def send(stream, message):
    """Write one message."""
    data = pickle.dumps(message, protocol=4)
    stream.write(struct.pack("<Q", len(data)))
    stream.write(data)
    stream.flush()


def receive(stream):
    """Read one message; `EOFError` if the other end is gone."""
    head = stream.read(8)
    size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    data = stream.read(size)
    if not size or len(data) != size:
        raise EOFError
    return pickle.loads(data)


class Worker:
    """The commands, by name. Needs TensorFlow, of either version."""

    def __init__(self):
        import numpy
        import tensorflow

        self.np = numpy
        self.tf = tensorflow
        self.v1 = tensorflow.compat.v1
        self.v1.enable_eager_execution()
        self.v1.logging.set_verbosity(self.v1.logging.ERROR)

    def hello(self):
        return {
            "version": self.tf.__version__,
            "dtypes": [name for name in DTYPES if self._knows(name)],
        }

    def save(self, prefix, names, slice_specs, tensors):
        self.tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=self._strings(names, [len(names)]),
            shape_and_slices=self._strings(
                [spec.encode("ascii") for spec in slice_specs], [len(slice_specs)]
            ),
            tensors=[self._decode(*tensor) for tensor in tensors],
        )

    def merge(self, prefixes, destination):
        self.tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=prefixes, destination_prefix=destination, delete_old_dirs=False
        )

    def read(self, prefix):
        reader = self.v1.train.NewCheckpointReader(prefix)
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        found = {}
        for name in shapes:
            dtype = self.tf.as_dtype(dtypes[name]).name
            shape = tuple(int(dim) for dim in shapes[name])
            payload = error = None
            try:
                payload = self._encode(dtype, reader.get_tensor(name))[2]
            except Exception as exc:
                error = (type(exc).__name__, str(exc))
            found[name.encode("utf-8")] = (dtype, shape, payload, error)
        return found

    def restore(self, prefix, requests):
        values = self.tf.raw_ops.RestoreV2(
            prefix=prefix,
            tensor_names=self._strings([name for name, _, _ in requests], [len(requests)]),
            shape_and_slices=[spec for _, spec, _ in requests],
            dtypes=[self.tf.as_dtype(dtype) for _, _, dtype in requests],
        )
        return [
            self._encode(dtype, self._fetch(dtype, value))
            for (_, _, dtype), value in zip(requests, values)
        ]

    def saver_restore(self, prefix, variables):
        v1 = self.v1
        with self.tf.Graph().as_default():
            made = {}
            for number, (name, dtype, shape, parts) in enumerate(variables):
                made[name] = self._variable(f"v{number}", dtype, shape, parts)
            saver = v1.train.Saver(made)
            with v1.Session() as session:
                saver.restore(session, prefix)
                values = session.run({name: self.tf.identity(v) for name, v in made.items()})
        return {
            name: self._encode(dtype, values[name], shape) for name, dtype, shape, _ in variables
        }

    def _variable(self, name, dtype, shape, parts):
        """A variable without a value: its initializer is a placeholder that nobody feeds."""

        def initializer(shape, dtype=None, partition_info=None, **_):
            return self.v1.placeholder(dtype, shape)

        partitioner = None if parts is None else (lambda **_: list(parts))
        return self.v1.get_variable(
            name,
            shape=shape,
            dtype=self.tf.as_dtype(dtype),
            initializer=initializer,
            partitioner=partitioner,
            use_resource=True,
            trainable=False,
        )

    def _knows(self, name):
        try:
            self.tf.as_dtype(name)
        except TypeError:
            return False
        return True

    def _strings(self, values, shape):
        return self.tf.constant(list(values), dtype=self.tf.string, shape=list(shape))

    def _decode(self, dtype, shape, payload):
        if dtype == "string":
            return self._strings(payload, shape)
        tf_dtype = self.tf.as_dtype(dtype)
        numpy_dtype = self.np.dtype(QUANTIZED.get(dtype) or tf_dtype.as_numpy_dtype)
        array = self.np.zeros(shape, numpy_dtype)
        if array.size:
            array = self.np.ndarray(shape, numpy_dtype, payload)
        if dtype in QUANTIZED:
            return self.tf.bitcast(self.tf.constant(array), tf_dtype)
        return self.tf.constant(array, dtype=tf_dtype)

    def _fetch(self, dtype, tensor):
        """The value of an eager tensor; a quantized one as the plain integers it consists of."""
        if dtype in QUANTIZED:
            tensor = self.tf.bitcast(tensor, QUANTIZED[dtype])
        return tensor.numpy()

    def _encode(self, dtype, value, shape=None):
        if dtype == "string":
            items = self.np.asarray(value, dtype=object)
            return dtype, items.shape, [bytes(item) for item in items.reshape(-1).tolist()]
        array = self.np.asarray(value)
        return dtype, array.shape, array.tobytes()


def serve(make_worker):
    """Answer on what was stdout, until stdin ends. What TensorFlow prints goes to stderr."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        worker = make_worker()
        send(pipe, ("ok", worker.hello()))
    except Exception as error:
        send(pipe, ("error", type(error).__name__, str(error)))
        return
    while True:
        try:
            command, arguments = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = ("ok", getattr(worker, command)(*arguments))
        except Exception as error:
            answer = ("error", type(error).__name__, str(error))
        send(pipe, answer)


if __name__ == "__main__":
    serve(Worker)
