"""Saver: what it refuses, and what it never loses. What TensorFlow does, step by step, is compared
in test_saver_steps.py."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.graph.meta import SaverDef
from fastckpt.train.saver import Saver


@pytest.fixture
def sess():
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3), "step": np.int64(7)}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "m")


def names_in(folder):
    return sorted(os.listdir(folder))


# ---- Bad input


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (-1, ValueError, "global_step: expected 0 or more, got -1"),
        (np.int64(-5), ValueError, "expected 0 or more, got -5"),
        (1.5, TypeError, "global_step: expected an integer, got 1.5"),
        (np.float32(2), TypeError, "expected an integer"),
        (np.arange(2), TypeError, "expected an integer"),
        (b"7", TypeError, "expected an integer"),
        ("missing", ValueError, "global_step: there is no entry 'missing'"),
        ([7], None, "m-7"),
        (np.uint8(7), None, "m-7"),
        (np.array(7), None, "m-7"),
        (np.array([7]), None, "m-7"),
        (SimpleNamespace(numpy=lambda: np.int32(7)), None, "m-7"),
        ("step", None, "m-7"),
        ("step:0", None, "m-7"),
        (2**63, None, "m-9223372036854775808"),
    ],
)
def test_step_is_an_integer_of_some_kind(sess, path, step, error, message):
    if error is None:
        assert Saver().save(sess, path, global_step=step) == path.removesuffix("m") + message
        return

    with pytest.raises(error, match=message):
        Saver().save(sess, path, global_step=step)

    assert names_in(os.path.dirname(path)) == []


@pytest.mark.parametrize("values", [[1], "w", 5, np.zeros(3)])
def test_session_that_is_no_mapping_is_a_type_error(path, values):
    with pytest.raises(TypeError, match="'sess' must be a mapping of names to values, or None"):
        Saver().save(values, path)
    with pytest.raises(TypeError, match="'sess' must be"):
        Saver().restore(values, path)


def test_saver_of_everything_needs_a_session(path):
    with pytest.raises(TypeError, match="'sess' must be a mapping of names to values, since"):
        Saver().save(None, path)


@pytest.mark.parametrize("target", [{}, []])
def test_saver_without_variables_is_a_value_error(path, target):
    with pytest.raises(ValueError, match="No variables to save"):
        Saver(target)
    with pytest.raises(ValueError, match="No variables to save"):
        Saver().save({}, path)


@pytest.mark.parametrize("target", [5, "w", {"w": object()}, [np.zeros(3)], {5: np.zeros(3)}])
def test_variables_of_another_kind_are_a_type_error(target):
    with pytest.raises(TypeError):
        Saver(target).save({"w": np.zeros(1)}, "never")


@pytest.mark.parametrize("value", [5, 1.5, None, b"text", [1.0], np.float32(1)])
def test_value_in_the_place_of_a_variable_is_a_type_error(value):
    with pytest.raises(TypeError, match="variable 'a': expected a variable, got"):
        Saver({"a": value})


def test_variable_under_two_names_is_a_value_error():
    v = np.zeros(2)
    with pytest.raises(ValueError, match="The same saveable will be restored with two names: b"):
        Saver({"a": v, "b": v})


def test_two_variables_of_one_name_are_a_value_error():
    with pytest.raises(ValueError, match="At least two variables have the same name: a"):
        Saver([("a", np.zeros(1)), ("a", np.zeros(1))])


def test_value_that_no_checkpoint_holds_leaves_nothing(path):
    with pytest.raises(TypeError, match="'when'"):
        Saver().save({"a": np.zeros(2), "when": np.datetime64("2020-01-01")}, path)

    assert names_in(os.path.dirname(path)) == []


@pytest.mark.parametrize("latest", ["a/checkpoint", "/checkpoint", "a/"])
def test_state_file_with_a_folder_is_a_value_error(sess, path, latest):
    with pytest.raises(ValueError, match="'latest_filename' must not contain path components"):
        Saver().save(sess, path, latest_filename=latest)


def test_state_file_in_the_place_of_the_checkpoint_is_a_value_error(sess, tmp_path):
    with pytest.raises(ValueError, match="'latest_filename' collides with 'save_path'"):
        Saver().save(sess, tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="collides"):
        Saver().save(sess, tmp_path / "m", latest_filename="m")


def test_folders_that_are_missing_are_a_value_error(sess, tmp_path):
    with pytest.raises(ValueError, match="Parent directory of .* doesn't exist, can't save"):
        Saver().save(sess, tmp_path / "a" / "b" / "m")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Parent directory of"):
        Saver().save(sess, tmp_path / "file" / "m")

    assert names_in(tmp_path) == ["file"]


def test_one_missing_folder_is_made(sess, tmp_path):
    Saver().save(sess, tmp_path / "a" / "m")

    assert "m.index" in names_in(tmp_path / "a")


def test_folder_that_refuses_files_is_an_os_error(sess, path, monkeypatch):
    opened = os.open

    def refuse(file, flags, *mode, **options):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", file)
        return opened(file, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        Saver().save(sess, path)


@pytest.mark.parametrize("version", [0, 3, None, "V2"])
def test_unknown_version_is_a_value_error(version):
    with pytest.raises(ValueError, match="write_version: expected SaverDef.V1 or SaverDef.V2"):
        Saver(write_version=version)


@pytest.mark.parametrize("given", [5, SaverDef(save_tensor_name=""), SaverDef(restore_op_name="")])
def test_settings_of_another_kind_are_a_value_error(given):
    with pytest.raises(ValueError, match="saver_def must"):
        Saver(saver_def=given)


def test_saver_that_waits_for_build_says_so(sess, path):
    saver = Saver(defer_build=True)

    with pytest.raises(RuntimeError, match="`build\\(\\)` should be called before save"):
        saver.save(sess, path)
    with pytest.raises(RuntimeError, match="`build\\(\\)`"):
        saver.restore(sess, path)
    with pytest.raises(ValueError, match="build cannot be deferred"):
        Saver(["a"], defer_build=True)
    saver.build()
    saver.build()
    assert saver.save(sess, path) == path


@pytest.mark.parametrize("method", ["set_last_checkpoints", "set_last_checkpoints_with_time"])
def test_list_of_checkpoints_must_be_a_list(method):
    with pytest.raises(AssertionError, match="expected a list, got tuple"):
        getattr(Saver(), method)(())


# ---- Restoring


def test_path_that_is_none_is_a_value_error(sess):
    with pytest.raises(ValueError, match="Can't load save_path when it is None"):
        Saver().restore(sess, None)


def test_path_without_a_checkpoint_is_a_value_error(sess, path):
    with pytest.raises(ValueError, match="The passed save_path is not a valid checkpoint: .*m"):
        Saver().restore(sess, path)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("x", np.zeros(3), fastckpt.TensorNotFoundError, "tensor 'x'"),
        ("w", np.zeros(6, np.float32), ValueError, r"'w': expected .* shape \(6,\), .* \(2, 3\)"),
        ("w", np.zeros((2, 3)), ValueError, "'w': expected dtype float64 .* got dtype float32"),
        ("step", 1.5, ValueError, "'step': expected dtype float64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found_before_anything_changes(
    sess, path, name, value, error, message
):
    saver = Saver()
    saver.save(sess, path)
    target = {"b": np.zeros(3), name: value}

    with pytest.raises(error, match=message):
        saver.restore(target, path)

    assert not target["b"].any()


def test_changed_byte_is_found_before_anything_changes(sess, path):
    Saver().save(sess, path)
    data = path + ".data-00000-of-00001"
    with open(data, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xee")
    target = {"b": np.zeros(3), "w": np.zeros((2, 3), np.float32)}

    with pytest.raises(fastckpt.ChecksumError):
        Saver().restore(target, path)

    assert not target["b"].any()


def test_arrays_are_restored_in_place_and_scalars_replaced(sess, path):
    Saver().save(sess, path)
    w = np.zeros((2, 3), np.float32)
    target = {"w": w, "b": np.zeros(6)[::2], "step": 0}

    Saver().restore(target, path)

    assert target["w"] is w
    assert w.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert target["b"].tolist() == [1, 1, 1]
    assert target["step"] == 7
    assert type(target["step"]) is int


def test_reshape_takes_the_same_number_of_elements(sess, path):
    Saver().save(sess, path)
    target = {"w": np.zeros((3, 2), np.float32)}

    Saver(reshape=True).restore(target, path)

    assert target["w"].tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="expected dtype float32 and shape"):
        Saver(reshape=True).restore({"w": np.zeros(5, np.float32)}, path)


@pytest.mark.parametrize("version", [SaverDef.V1, SaverDef.V2])
@pytest.mark.parametrize("sharded", [False, True])
def test_what_was_saved_is_restored(sess, path, version, sharded):
    sess["texts"] = np.array([b"a", b""], object)
    saver = Saver(write_version=version, sharded=sharded, restore_sequentially=True)
    saved = saver.save(sess, path, global_step=3)
    target = {name: np.zeros_like(value) for name, value in sess.items()}

    saver.restore(target, saved)

    for name, value in sess.items():
        assert np.array_equal(target[name], value)


def test_selection_and_other_names(sess, path):
    Saver({"weights": "w", "b": sess["b"]}).save(sess, path)
    assert sorted(fastckpt.read(path)) == ["b", "weights"]
    target = np.zeros((2, 3), np.float32)

    Saver({"weights": target}).restore(None, path)

    assert np.array_equal(target, sess["w"])


def test_session_holds_the_values_when_arrays_were_replaced(sess, path):
    saver = Saver({"b": sess["b"]})
    sess["b"] = sess["b"] + 1

    saver.save(sess, path)
    sess["b"] = np.zeros(3)
    saver.restore(sess, path)

    assert sess["b"].tolist() == [2, 2, 2]


def test_array_of_the_session_under_another_name_is_that_array(path):
    sess = {"v1": np.zeros(2), "v2": np.ones(2)}
    saver = Saver({"v1": sess["v2"]})

    saver.save(sess, path)
    sess["v2"][:] = 5
    saver.restore(sess, path)

    assert sess["v2"].tolist() == [1, 1]
    assert sess["v1"].tolist() == [0, 0]


def test_iterator_of_variables_is_gone_through_once(path):
    variables = [("a", np.ones(1)), ("b", np.zeros(1))]
    saver = Saver(iter(variables))

    saver.save(None, path)
    saver.save(None, path)

    assert sorted(fastckpt.read(path)) == ["a", "b"]


def test_empty_saver_does_nothing_when_allowed_to(path):
    saver = Saver(allow_empty=True)

    assert saver.save({}, path, write_meta_graph=False) is None
    saver.restore({}, None)
    assert names_in(os.path.dirname(path)) == []


# ---- What it never loses


def test_nothing_is_deleted_when_saving_fails(sess, tmp_path):
    saver = Saver(max_to_keep=1)
    saver.save(sess, tmp_path / "m", global_step=1)
    before = names_in(tmp_path)

    with pytest.raises(TypeError):
        saver.save({"a": object()}, tmp_path / "m", global_step=2)

    assert names_in(tmp_path) == before
    assert saver.last_checkpoints == [str(tmp_path / "m-1")]


def test_nothing_is_deleted_when_the_state_cannot_be_written(sess, tmp_path):
    saver = Saver(max_to_keep=1)
    saver.save(sess, tmp_path / "m", global_step=1)
    (tmp_path / "latest").mkdir()

    with pytest.raises(OSError, match="latest"):
        saver.save(sess, tmp_path / "m", global_step=2, latest_filename="latest")

    assert {"m-1.index", "m-2.index"} <= set(names_in(tmp_path))


def test_checkpoint_under_another_spelling_is_not_deleted(sess, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saver = Saver(max_to_keep=1)
    saver.save(sess, "m")

    saver.save(sess, "./m")

    assert "m.index" in names_in(tmp_path)


def test_prefix_with_a_pattern_in_it_deletes_only_itself(sess, tmp_path):
    other = Saver()
    other.save(sess, tmp_path / "model", global_step=1)
    saver = Saver(max_to_keep=1)

    for step in (1, 2):
        saver.save(sess, tmp_path / "m*", global_step=step)

    assert {"model-1.index", "m*-2.index"} <= set(names_in(tmp_path))
    assert "m*-1.index" not in names_in(tmp_path)


def test_old_checkpoint_that_cannot_be_deleted_is_no_error(sess, tmp_path, caplog):
    saver = Saver(max_to_keep=1)
    saver.save(sess, tmp_path / "m", global_step=1)
    os.unlink(tmp_path / "m-1.index")
    (tmp_path / "m-1.index").mkdir()

    saver.save(sess, tmp_path / "m", global_step=2)

    assert "Ignoring: " in caplog.text
    assert saver.last_checkpoints == [str(tmp_path / "m-2")]


def test_open_checkpoint_stays_readable_when_it_is_deleted_and_saved_over(sess, path):
    saver = Saver(max_to_keep=1)
    first = fastckpt.read(saver.save(sess, path, global_step=1))
    view = first["w"]

    saver.save(sess, path, global_step=2)
    sess["w"] *= 2
    saver.save(sess, path, global_step=1)

    assert view.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_hours_of_retention_are_those_that_the_message_holds(sess, tmp_path, monkeypatch):
    """It has them as a float32: 0.1 hours are 360.0000053644180 seconds."""
    now = 0.0
    monkeypatch.setattr(time, "time", lambda: now)
    saver = Saver(max_to_keep=1, keep_checkpoint_every_n_hours=0.1)
    for now in (360.000003, 360.00001, 400):  # noqa: B007 - the clock reads it
        saver.save(sess, tmp_path / "m", global_step=int(now * 1e6))

    kept = [name for name in names_in(tmp_path) if name.endswith(".index")]
    assert kept == ["m-360000010.index", "m-400000000.index"]


def test_settings_can_be_handed_on():
    saver = Saver(max_to_keep=3, sharded=True, name="scope", keep_checkpoint_every_n_hours=2)

    given = saver.as_saver_def()

    assert given == SaverDef(
        "scope/Const:0", "scope/control_dependency:0", "scope/restore_all", 3, True, 2.0, 2
    )
    assert saver.to_proto() == given
    assert Saver(saver_def=given).as_saver_def() == given
    assert Saver.from_proto(given, "in").as_saver_def().restore_op_name == "in/scope/restore_all"


# ---- Variables that are objects


@pytest.mark.tensorflow
def test_saves_and_restores_variables_of_tensorflow(tmp_path):
    code = """
        import sys
        import numpy as np, tensorflow as tf
        from fastckpt import train

        v = tf.Variable([1.0, 2.0], name="scope/v")
        step = tf.Variable(3, dtype=tf.int64, name="step")
        saver = train.Saver([v, step])
        path = saver.save(None, sys.argv[1], global_step=step)
        v.assign([0.0, 0.0])
        step.assign(0)
        saver.restore(None, path)
        assert path.endswith("-3") and v.numpy().tolist() == [1, 2] and step.numpy() == 3
        theirs = tf.compat.v1.train.Saver({"scope/v": v, "step": step})
        v.assign([0.0, 0.0])
        theirs.restore(None, path)
        assert v.numpy().tolist() == [1, 2]
        try:
            train.Saver({"scope/v": step, "step": v}).restore(None, path)
        except ValueError as error:
            assert "scope/v" in str(error)
        assert v.numpy().tolist() == [1, 2] and step.numpy() == 3
        print("done")
    """

    assert run(code, tmp_path / "m", timeout=120) == "done\n"


@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_saves_and_restores_keras_without_tensorflow(tmp_path, backend):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND=sys.argv[2], KERAS_HOME=sys.argv[1])
        import keras, numpy as np
        from fastckpt import train

        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="d")],
                                 name="net")
        saver = train.Saver(model.variables)
        path = saver.save(None, sys.argv[1] + "/m")
        before = [np.array(v) for v in model.variables]
        for variable in model.variables:
            variable.assign(np.full(variable.shape, 7, np.float32))
        saver.restore(None, path)
        assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, model.variables))
        assert train.list_variables(path) == [("net/d/bias", [2]), ("net/d/kernel", [3, 2])]
        assert "tensorflow" not in sys.modules
        print("done")
    """

    assert run(code, tmp_path, backend, timeout=120) == "done\n"
