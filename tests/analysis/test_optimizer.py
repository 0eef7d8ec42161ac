"""Slots of optimizers by their names, in scopes and without, beside variables of like names."""

import numpy as np
import pytest

import fastckpt

KERNEL = np.ones((4, 3), np.float32)
SCALAR = np.float32(1)
WEIGHTS = {
    "body/kernel": KERNEL,
    "body/kernel/ExponentialMovingAverage": KERNEL,
    "global_step": np.int64(7),
    "names/Adam/kernel": KERNEL,  # a layer of that name
    "people/Adam": np.ones(5, np.float32),
    "head/m": KERNEL,
}


@pytest.mark.parametrize(
    "slots",
    [
        {f"body/kernel/Adam{end}": KERNEL for end in ("", "_1", "_2", "_3")},
        {"training/body/kernel/LazyAdam": KERNEL, "training/beta1_power_1": SCALAR},
        {"train/tower_0/body/kernel/Momentum": KERNEL},
        {"body/kernel/AdagradDA_1": KERNEL, "beta2_power": SCALAR},
        {"body/kernel_slot_vr": np.ones(4), "body/kernel_slot_vc": np.ones(3)},
        {"Adam/body/kernel/m": KERNEL, "Adam/body/kernel/v": KERNEL, "Adam/iter": np.int64(1)},
        {"body/kernel/PowerSignOptimizer": KERNEL, "body/kernel/adam_m": KERNEL},
    ],
)
def test_slots_are_found_and_nothing_else(tmp_path, slots):
    fastckpt.write(tmp_path / "m", {**WEIGHTS, **slots})

    assert fastckpt.list_optimizer_names(tmp_path / "m") == sorted(slots)
