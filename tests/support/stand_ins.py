"""Stand-ins for the variables of other libraries, which refuse what the originals refuse."""

import types

import numpy as np
import pytest

from fastckpt.train.variables import named_variables

F32 = np.float32


class TorchDtype:
    """Like torch.dtype: its text has the module's name, and its class says where that is."""

    __module__ = "duck_torch"

    def __init__(self, name):
        self._name = name

    def __str__(self):
        return f"torch.{self._name}"


class TorchTensor:
    """PyTorch's tensor, as far as it can be seen through detach, cpu, numpy, view and copy_."""

    def __init__(self, bits, dtype, *, requires_grad=False, device="cpu", is_meta=False):
        self._bits = bits  # of bfloat16 the int16
        self.dtype = dtype
        self.requires_grad = requires_grad
        self.device = device
        self.is_meta = is_meta
        self.name = None

    @property
    def shape(self):
        return self._bits.shape

    def detach(self):
        return TorchTensor(self._bits, self.dtype, device=self.device, is_meta=self.is_meta)

    def cpu(self):
        bits = self._bits if self.device == "cpu" else self._bits.copy()
        return TorchTensor(bits, self.dtype, requires_grad=self.requires_grad)

    def resolve_conj(self):
        return self

    resolve_neg = resolve_conj

    def view(self, dtype):
        return TorchTensor(self._bits, dtype, requires_grad=self.requires_grad, device=self.device)

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        if "bfloat16" in str(self.dtype):
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._bits

    def new_empty(self, shape, device):
        return TorchTensor(np.empty(shape, self._bits.dtype), self.dtype, device=device)

    def copy_(self, other):
        if self.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad is used in-place")
        if not isinstance(other, TorchTensor):
            raise TypeError("copy_(): argument 'other' must be Tensor")
        np.copyto(self._bits, other._bits)

    def __len__(self):
        return len(self._bits)

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


INT16, BFLOAT16, FLOAT32 = map(TorchDtype, ("int16", "bfloat16", "float32"))


class Assignable:
    """Like tf.Variable: numpy() is a copy, assign() refuses another shape or dtype."""

    def __init__(self, array, name="v:0"):
        self._array = np.array(array)
        self.name = name
        self.shape = self._array.shape
        self.dtype = types.SimpleNamespace(name=self._array.dtype.name)

    def numpy(self):
        return self._array.copy()

    def assign(self, array):
        assert (array.shape, array.dtype) == (self._array.shape, self._array.dtype)
        self._array = array  # keeps the memory that it is given, as frameworks do


class OnlyArray:
    """A value through __array__ alone; neither dtype nor shape is said."""

    def __init__(self, array, path="layer/v"):
        self._array = np.array(array)
        self.path = path
        self.name = "v"

    def __array__(self, dtype=None, copy=None):
        return self._array

    def assign(self, array):
        self._array = np.array(array)


def parameter(array):
    return TorchTensor(np.array(array, F32), FLOAT32, requires_grad=True)


def on_another_device(array):
    return TorchTensor(np.array(array, F32), FLOAT32, device="cuda:0")


def strided(array):
    return TorchTensor(np.array(array, F32).T.copy().T, FLOAT32)


IN_PLACE = {
    "array": lambda array: np.array(array, F32),
    "strided array": lambda array: np.zeros((9, 9), F32)[: len(array) * 2 : 2, : len(array[0])],
    "big-endian array": lambda array: np.array(array, ">f4"),
    "assignable": lambda array: Assignable(np.array(array, F32)),
    "only array": lambda array: OnlyArray(np.array(array, F32)),
    "parameter": parameter,
    "another device": on_another_device,
    "strided tensor": strided,
}


REPLACED = {
    "list": lambda array: np.array(array).tolist(),
    "tuple": lambda array: tuple(np.array(array).tolist()),
    "read-only array": lambda array: np.broadcast_to(F32(0), np.shape(array)),
}


in_place = pytest.mark.parametrize("make", IN_PLACE.values(), ids=IN_PLACE)


all_kinds = pytest.mark.parametrize(
    "make", [*IN_PLACE.values(), *REPLACED.values()], ids=[*IN_PLACE, *REPLACED]
)


OLD = np.zeros((2, 3), F32)


NEW = np.arange(6, dtype=F32).reshape(2, 3)


def the_variable(item, **entries):
    return named_variables({"v": item, **entries})["v"]
