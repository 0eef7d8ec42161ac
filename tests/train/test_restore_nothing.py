"""A strict restore into a target without variables is an error."""

import types

import numpy as np
import pytest

import fastckpt


@pytest.mark.parametrize(
    "target", [{}, [], types.SimpleNamespace(variables=[])], ids=["dict", "list", "model"]
)
def test_target_without_variables_is_a_value_error(tmp_path, target):
    fastckpt.write(tmp_path / "m", {"v": np.zeros(3)})

    with pytest.raises(ValueError, match="expected a target with variables, got none"):
        fastckpt.restore(target, tmp_path / "m")

    assert fastckpt.restore(target, tmp_path / "m", strict=False).unused == ("v",)


def test_target_whose_variables_are_left_out_is_none_without_variables(tmp_path):
    fastckpt.write(tmp_path / "m", {"v": np.zeros(3)})
    target = {"v": np.ones(3)}

    assert fastckpt.restore(target, tmp_path / "m", exclude="*").restored == ()
    assert target["v"].all()
