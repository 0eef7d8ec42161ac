"""Restore part of a model: the encoder of a trained classifier becomes that of a new one.

The old model knows 1000 classes and was saved in the middle of its training, with the slots of
its optimizer. The new one calls the encoder otherwise and tells 10 classes apart. The worked
example of docs/transfer-learning.md.
"""

import tempfile
from pathlib import Path

import numpy as np

import fastckpt
from fastckpt import train

RENAME = [("^bert/", "encoder/")]  # from the name in the checkpoint to the name in the model


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bert.ckpt-1000"
        fastckpt.write(path, make_old_model())
        model = make_new_model()
        show_that_all_is_too_much(model, path)
        show_partial_restore(model, path)
        show_what_is_trained(model)
        show_saver(path)


def make_old_model() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    model = {}
    for layer in ("layer_0", "layer_1"):
        model[f"bert/{layer}/kernel"] = random.normal(size=(64, 64)).astype(np.float32)
        model[f"bert/{layer}/bias"] = random.normal(size=64).astype(np.float32)
    model["head/kernel"] = random.normal(size=(64, 1000)).astype(np.float32)
    model["head/bias"] = random.normal(size=1000).astype(np.float32)
    slots = {f"{name}/Adam": np.zeros_like(value) for name, value in model.items()}
    return {**model, **slots, "global_step": np.array(1000)}


def make_new_model() -> dict[str, np.ndarray]:
    model = {}
    for layer in ("layer_0", "layer_1"):
        model[f"encoder/{layer}/kernel"] = np.zeros((64, 64), np.float32)
        model[f"encoder/{layer}/bias"] = np.zeros(64, np.float32)
    model["head/kernel"] = np.full((64, 10), 0.01, np.float32)
    model["head/bias"] = np.zeros(10, np.float32)
    return model


def show_that_all_is_too_much(model: dict[str, np.ndarray], path: Path) -> None:
    print("Everything, strictly:\n")
    try:
        fastckpt.restore(model, path, rename=RENAME)
    except ValueError as error:
        print(f"    {str(error).replace(str(path), path.name)}")
    changed = sum(bool(value.any()) for name, value in model.items() if "encoder" in name)
    print(f"\nso nothing was restored: {changed} variables of the encoder have changed.\n")


def show_partial_restore(model: dict[str, np.ndarray], path: Path) -> None:
    report = fastckpt.restore(model, path, rename=RENAME, exclude="head/*")
    print("Without the head:\n")
    print(report)
    old = fastckpt.load(path)
    assert np.array_equal(model["encoder/layer_1/kernel"], old["bert/layer_1/kernel"])
    assert (model["head/kernel"] == np.float32(0.01)).all()


def show_what_is_trained(model: dict[str, np.ndarray]) -> None:
    trained = [name for name in model if not name.startswith("encoder/")]
    print(f"\nTo be trained: {', '.join(trained)}. The encoder stays as it is.")


def show_saver(path: Path) -> None:
    kernel = np.zeros((64, 64), np.float32)
    train.Saver({"bert/layer_0/kernel": kernel}).restore(None, path)
    print(f"\nOne variable, the way of tf.train.Saver: mean {kernel.mean():.4f} after restore.")


if __name__ == "__main__":
    main()
