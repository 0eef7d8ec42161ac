"""Each type of object has one adapter, which a variable looks for once."""

import numpy as np
import pytest

from fastckpt.train.adapters import find_adapter
from fastckpt.train.saver import Saver
from fastckpt.train.variables import named_variables

VALUES = [np.zeros(3), 1, 2.5, True, 1j, "text", b"bytes", [1.0, 2.0], (1, 2), np.float32(3)]


@pytest.mark.parametrize("item", VALUES, ids=lambda item: type(item).__name__)
def test_new_object_equals_the_value_that_was_read(item):
    adapter = find_adapter("v", item)
    value = np.asarray(adapter.value(item))

    made = adapter.make(item, adapter.convert(item, value))

    assert type(made) is type(item)
    assert np.array_equal(made, item)


@pytest.mark.parametrize("item", VALUES, ids=lambda item: type(item).__name__)
def test_dtype_and_shape_are_those_that_are_saved(item):
    adapter = find_adapter("v", item)
    array = np.asarray(item)

    assert adapter.shape(item) == array.shape
    assert adapter.dtype("v", item).name == (
        "string" if array.dtype.kind in "SU" else array.dtype.name
    )


@pytest.mark.parametrize("item", [None, object(), {}, int, np.ndarray, {1, 2}])
def test_object_without_an_adapter_is_a_type_error(item):
    with pytest.raises(TypeError, match="variable 'v': expected a NumPy array"):
        find_adapter("v", item)


@pytest.fixture
def found(monkeypatch):
    """The names for which an adapter was looked for."""
    names = []

    def watch(name, item):
        names.append(name)
        return find_adapter(name, item)

    monkeypatch.setattr("fastckpt.train.variables.find_adapter", watch)
    return names


def test_saver_looks_once_for_the_adapter_of_each_variable(tmp_path, found):
    values = {f"v{i}": np.zeros(3) for i in range(5)}

    Saver().save(values, str(tmp_path / "m"))
    saved = len(found)
    Saver().restore(values, str(tmp_path / "m"))

    assert (saved, len(found)) == (5, 10)


def test_entry_of_another_type_gets_another_adapter(found):
    values = {"v": np.zeros(2)}
    variable = named_variables(values)["v"]

    values["v"] = [1.0, 2.0]
    variable.assign(variable.prepare(np.array([3.0, 4.0])))

    assert values["v"] == [3.0, 4.0]
    assert found == ["v", "v"]
