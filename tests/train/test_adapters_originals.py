"""The adapters beside the originals: tf.Variable, Keras."""

import pytest
from fresh import run

# ---- Stand-ins that refuse what the originals refuse


# ---- The originals


@pytest.mark.tensorflow
def test_tensorflow_variables_go_both_ways(tmp_path):
    code = """
        import sys
        import numpy as np, tensorflow as tf, fastckpt
        from fastckpt.train.variables import named_variables, restore_all

        def make(fill):
            return [
                tf.Variable(np.full((2, 3), fill, np.float32), name="f32"),
                tf.Variable(tf.cast(tf.fill([4], fill), tf.bfloat16), name="bf16"),
                tf.Variable(np.int64(fill), name="step"),
                tf.Variable(bytes([65 + fill]), name="scalar_string"),
                tf.Variable([str(fill), "z"], name="scope/strings"),
                tf.Variable(np.full(2, fill, np.complex64), name="c64"),
                tf.Variable(tf.fill([2, 2], fill), shape=tf.TensorShape(None), name="any_shape"),
                tf.Variable(bool(fill), name="flag"),
            ]

        old, new = named_variables(make(0)), named_variables(make(1))
        tf.raw_ops.SaveV2(
            prefix=sys.argv[1], tensor_names=list(new), shape_and_slices=[""] * len(new),
            tensors=[variable.read_value() for variable in make(1)],
        )
        with fastckpt.read(sys.argv[1], verify=True) as ckpt:
            for name, variable in old.items():
                info = ckpt.info(name)
                assert (variable.dtype.name, variable.shape) == (info.tf_dtype, info.shape), name
            restore_all((variable, ckpt[name]) for name, variable in old.items())
        assert list(old) == ["f32", "bf16", "step", "scalar_string", "scope/strings", "c64",
                             "any_shape", "flag"]
        for name in old:
            assert np.array_equal(old[name].value(), new[name].value()), name
        before = [variable.value() for variable in old.values()]
        wrong = [(old["f32"], np.zeros((2, 3), np.float32)), (old["step"], np.zeros(2, np.int64))]
        try:
            restore_all(wrong)
        except ValueError as error:
            assert "'step'" in str(error)
        assert all(np.array_equal(a, v.value()) for a, v in zip(before, old.values()))
        print("done")
    """

    assert run(code, tmp_path / "m", timeout=120) == "done\n"


@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_keras_without_tensorflow_is_restored(tmp_path, backend):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND=sys.argv[2], KERAS_HOME=sys.argv[1])
        import keras, numpy as np
        from fastckpt.train.variables import named_variables, restore_all

        model = keras.Sequential([
            keras.layers.Input((3,)),
            keras.layers.Dense(2, name="a"),
            keras.layers.Dense(2, name="b", dtype="bfloat16"),
        ], name="net")
        model.compile("adam")
        variables = named_variables(model)
        assert list(variables) == ["net/a/kernel", "net/a/bias", "net/b/kernel", "net/b/bias"]
        assert list(named_variables(model.optimizer))[0] == "adam/iteration"
        values = {n: np.full(v.shape, 3, v.dtype.numpy) for n, v in variables.items()}
        restore_all((variables[name], value) for name, value in values.items())
        assert all((np.asarray(variable) == 3).all() for variable in model.variables)
        wrong = {**values, "net/a/kernel": values["net/a/kernel"] * 2, "net/b/bias": np.zeros(7)}
        try:
            restore_all((variables[name], value) for name, value in wrong.items())
        except ValueError as error:
            assert "'net/b/bias'" in str(error)
        assert all((np.asarray(variable) == 3).all() for variable in model.variables)
        assert "tensorflow" not in sys.modules and "torch" not in sys.modules
        print("done")
    """

    assert run(code, tmp_path, backend, timeout=120) == "done\n"


@pytest.mark.tensorflow
def test_keras_under_tensorflow_is_restored(tmp_path):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=sys.argv[1])
        import keras, numpy as np
        from fastckpt.train.variables import named_variables, restore_all

        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="a")],
                                 name="net")
        variables = named_variables(model)
        assert list(variables) == ["net/a/kernel", "net/a/bias"]
        restore_all((v, np.full(v.shape, 3, np.float32)) for v in variables.values())
        assert all((variable.numpy() == 3).all() for variable in model.variables)
        print("done")
    """

    assert run(code, tmp_path, timeout=120) == "done\n"
