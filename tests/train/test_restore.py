"""Partial restore: what goes where, and what is reported."""

import re
import tracemalloc
import types

import ml_dtypes
import numpy as np
import pytest
from fresh import run
from places import ROOT
from restoring import F32, TENSORS, assert_untouched, make_model, zeros_like

import fastckpt
from fastckpt.train.restore import RestoreReport, restore

RENAME = [("^bert/", "encoder/")]


@pytest.fixture
def path(tmp_path):
    fastckpt.write(tmp_path / "old.ckpt", TENSORS, sync=False)
    return tmp_path / "old.ckpt"


# ---- What goes where


def test_everything_of_a_name_is_restored_in_place(path):
    target = {name: np.zeros_like(value) for name, value in TENSORS.items()}
    held = dict(target)

    report = restore(target, path)

    assert report.restored == tuple(TENSORS)
    assert all(target[name] is held[name] for name in TENSORS)
    assert all(np.array_equal(target[name], TENSORS[name]) for name in TENSORS)


def test_part_of_a_checkpoint_is_restored_strictly(path):
    target = zeros_like(["step"])

    report = restore(target, path)

    assert target["step"] == 1000
    assert report.restored == ("step",)
    assert report.unused == tuple(name for name in sorted(TENSORS) if name != "step")


@pytest.mark.parametrize(
    "rename",
    [
        {"bert/layer/kernel": "encoder/layer/kernel", "bert/layer/bias": "encoder/layer/bias"},
        [("^bert/", "encoder/")],
        [("bert", "x"), ("^x(?=/)", "encoder")],
        [(re.compile("BERT", re.I), lambda match: "encoder")],
        (rule for rule in [("^bert/", "encoder/")]),
        lambda name: name.replace("bert/", "encoder/"),
        types.MappingProxyType(
            {"bert/layer/kernel": "encoder/layer/kernel", "bert/layer/bias": "encoder/layer/bias"}
        ),
    ],
)
def test_rename_goes_from_the_checkpoint_to_the_target(path, rename):
    model = make_model()

    report = restore(model, path, rename=rename, exclude="head/*")

    assert report.restored == ("encoder/layer/kernel", "encoder/layer/bias")
    assert np.array_equal(model["encoder/layer/kernel"], TENSORS["bert/layer/kernel"])
    assert not model["head/kernel"].any()


@pytest.mark.parametrize("rename", [{"step": None}, lambda name: None if name == "step" else name])
def test_tensor_renamed_to_none_is_left_out(path, rename):
    target = zeros_like(["step", "zz_last"])

    report = restore(target, path, rename=rename, strict=False)

    assert report.restored == ("zz_last",)
    assert report.missing == ("step",)
    assert "step" not in report.unused


def test_renamed_tensor_comes_before_one_that_had_the_name(path):
    target = zeros_like(["bert/layer/kernel"])

    report = restore(target, path, rename=[("/Adam$", "")])

    assert (target["bert/layer/kernel"] == 9).all()
    assert "bert/layer/kernel" in report.unused


def test_tensors_renamed_alike_that_nobody_wants_are_no_error(path):
    target = zeros_like(["step"])

    report = restore(target, path, rename=[("^bert/.*", "bert")])

    assert report.restored == ("step",)


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ("*", None, ["a/b/c", "a/b1", "d"]),
        ("a/*", None, ["a/b/c", "a/b1"]),
        (["d", "a/*/c"], None, ["a/b/c", "d"]),
        (None, "a*", ["d"]),
        (None, ["d", "*1"], ["a/b/c"]),
        ("a/*", "*c", ["a/b1"]),
        ("a/b?", None, ["a/b1"]),
        ("a/b[0-9]", None, ["a/b1"]),
        ((glob for glob in ["d"]), (glob for glob in ["x"]), ["d"]),
        (None, "D", ["a/b/c", "a/b1", "d"]),
        ("*", "*", []),
    ],
)
def test_globs_choose_variables(tmp_path, include, exclude, chosen):
    names = ["a/b/c", "a/b1", "d"]
    fastckpt.write(tmp_path / "m", {name: np.ones(1) for name in names}, sync=False)
    target = {name: np.zeros(1) for name in names}

    report = restore(target, tmp_path / "m", include=include, exclude=exclude, strict=False)

    assert list(report.restored) == chosen
    assert [name for name in names if target[name].any()] == chosen
    assert report.unused == report.missing == ()


def test_what_globs_leave_out_is_no_error(path):
    target = {**zeros_like(["step"]), "new/kernel": np.zeros(3), "head/kernel": np.zeros(1)}

    report = restore(target, path, exclude=["new/*", "head/*"])

    assert report.restored == ("step",)
    assert report.missing == ()
    assert "head/kernel" not in report.unused


def test_not_strict_restores_what_fits_and_reports_the_rest(path):
    model = {**make_model(), "encoder/new": np.zeros(1)}

    report = restore(model, path, rename=RENAME, strict=False)

    assert report.restored == ("encoder/layer/kernel", "encoder/layer/bias")
    assert report.missing == ("encoder/new",)
    assert report.unused == ("bert/layer/kernel/Adam", "labels", "step", "zz_last")
    assert report.mismatched == (
        (
            "head/kernel",
            "dtype float32 and shape (3, 2)",
            "dtype float32 and shape (3, 10)",
        ),
    )
    assert report.mismatched[0].name == "head/kernel"
    assert report.nbytes == TENSORS["bert/layer/kernel"].nbytes + TENSORS["bert/layer/bias"].nbytes
    assert not model["head/kernel"].any()


def test_reshape_and_cast_let_more_fit(path):
    target = {"zz_last": np.zeros((2, 2), ml_dtypes.bfloat16), "step": np.zeros(1, F32)}

    restore(target, path, reshape=True, cast=True)

    assert (target["zz_last"] == 8).all()
    assert target["step"].tolist() == [1000]


@pytest.mark.parametrize("option", [{"reshape": True}, {"cast": True}])
def test_reshape_and_cast_are_asked_for_one_by_one(path, option):
    target = {"zz_last": np.zeros((2, 2), np.float64)}

    with pytest.raises(ValueError, match="zz_last"):
        restore(target, path, **option)

    assert_untouched(target)


def test_values_of_a_mapping_are_replaced(path):
    target = {"step": 0, "labels": ["", ""], "zz_last": np.broadcast_to(F32(0), (4,))}

    restore(target, path)

    assert target["step"] == 1000 and type(target["step"]) is int
    assert target["labels"] == ["cat", "dog"]
    assert target["zz_last"].tolist() == [8] * 4
    assert target["zz_last"].flags.owndata and target["zz_last"].flags.writeable


def test_memory_holds_no_second_copy_of_the_model(tmp_path):
    size = 16 << 20
    fastckpt.write(tmp_path / "m", {f"v{i}": np.ones(size, np.uint8) for i in range(4)})
    target = {f"v{i}": np.zeros(size, np.uint8) for i in range(4)}
    tracemalloc.start()

    restore(target, tmp_path / "m")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(value.all() for value in target.values())
    assert peak < size


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("verify", [False, True])
def test_open_checkpoint_stays_open(path, backend, verify):
    with fastckpt.read(path, backend=backend, verify=verify) as checkpoint:
        target = zeros_like(["zz_last"])

        restore(target, checkpoint)

        assert (target["zz_last"] == 8).all()
        assert checkpoint["step"] == 1000


def test_partitioned_and_sharded_tensors_are_restored(tmp_path):
    with fastckpt.Writer(tmp_path / "m", num_shards=2, sync=False) as writer:
        writer.add_slice("emb", np.ones((6, 4)), full_shape=(10, 4), start=(0, 0))
        writer.add_slice("emb", np.full((4, 4), 2.0), full_shape=(10, 4), start=(6, 0))
    target = {"emb": np.zeros((10, 4))}

    restore(target, tmp_path / "m")

    assert target["emb"].sum() == 6 * 4 + 4 * 4 * 2


def test_nothing_is_restored_from_an_empty_target(path):
    report = restore({}, path, strict=False)

    assert report == RestoreReport(unused=tuple(sorted(TENSORS)))


# ---- Checkpoints of objects


OBJECTS = "tf2_object/obj-2"


VARIABLE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize("suffix", ["", VARIABLE])
def test_object_based_tensor_is_found_by_path_and_by_key(golden, suffix):
    expected = fastckpt.load(golden / OBJECTS)["net/w" + VARIABLE]
    target = {"net/w" + suffix: np.zeros_like(expected)}

    restore(target, golden / OBJECTS)

    assert np.array_equal(target["net/w" + suffix], expected)


@pytest.mark.parametrize(
    "rename",
    [{"net/w": "mine"}, {"net/w" + VARIABLE: "mine"}, [("^net/w$", "mine")]],
)
def test_object_based_tensor_is_renamed_by_path_or_by_key(golden, rename):
    expected = fastckpt.load(golden / OBJECTS)["net/w" + VARIABLE]
    target = {"mine": np.zeros_like(expected)}

    restore(target, golden / OBJECTS, rename=rename)

    assert np.array_equal(target["mine"], expected)


def test_what_tensorflow_keeps_for_itself_is_not_unused(golden):
    checkpoint = fastckpt.read(golden / OBJECTS)
    path_of = {key: path for path, key in checkpoint.variables.items()}

    report = restore({}, checkpoint, strict=False)

    own = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter" + VARIABLE}
    assert report.unused == tuple(path_of.get(key, key) for key in checkpoint if key not in own)
    assert "net/w" in report.unused


def test_save_counter_is_restored_where_it_is_wanted(golden):
    target = {"save_counter": 0}

    restore(target, golden / OBJECTS)

    assert target["save_counter"] == 2


# ---- The report


def test_report_prints_counts_sizes_and_examples(path):
    model = {**make_model(), "zz_lsat": np.zeros(1), "another": np.zeros(1)}

    report = restore(model, path, rename=RENAME, strict=False)

    assert str(report).splitlines() == [
        "restored        2  (36 B)",
        "    encoder/layer/kernel",
        "    encoder/layer/bias",
        "missing         2  (no tensor of that name)",
        "    zz_lsat  (did you mean 'zz_last'?)",
        "    another",
        "mismatched      1  (another dtype or shape)",
        "    'head/kernel': expected dtype float32 and shape (3, 2), got dtype float32 and shape "
        "(3, 10)",
        "unused          4  (tensors that no variable took)",
        "    bert/layer/kernel/Adam",
        "    labels",
        "    step",
        "    zz_last",
    ]


def test_long_report_shows_a_few_names_of_each_sort():
    names = tuple(f"v{i}" for i in range(1000))

    text = str(RestoreReport(restored=names, unused=names, nbytes=1_234_567_890))

    assert "restored     1000  (1.1 GiB)" in text
    assert text.count("... and 995 more") == 2
    assert len(text.splitlines()) == 4 + 2 * 6


@pytest.mark.parametrize(
    ("nbytes", "spelled"),
    [(0, "0 B"), (999, "999 B"), (16640, "16.2 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_size_is_spelled_in_the_unit_that_suits_it(nbytes, spelled):
    assert f"({spelled})" in str(RestoreReport(nbytes=nbytes))


def test_report_cannot_be_changed(path):
    report = restore(zeros_like(["step"]), path)

    with pytest.raises(AttributeError):
        report.missing = ()


# ---- Originals and documents


@pytest.mark.tensorflow
def test_keras_model_starts_from_a_tensorflow_checkpoint(tmp_path):
    code = """
        import os, sys
        os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=sys.argv[1])
        import fastckpt, keras, numpy as np, tensorflow as tf
        from fastckpt.train.restore import restore

        def make(classes):
            return keras.Sequential([
                keras.layers.Input((3,)),
                keras.layers.Dense(4, name="body"), keras.layers.Dense(classes, name="head"),
            ], name="net")

        old, new = make(10), make(2)
        path = tf.train.Checkpoint(model=old).write(sys.argv[1] + "/m")
        head = new.get_layer("head").kernel.numpy()
        names = {(3, 4): "net/body/kernel", (4,): "net/body/bias"}
        rename = {info.name: names.get(info.shape) for info in fastckpt.read(path).infos()}
        report = restore(new, path, rename=rename, exclude="*/head/*")
        assert report.restored == ("net/body/kernel", "net/body/bias"), report
        assert np.array_equal(new.get_layer("body").kernel, old.get_layer("body").kernel)
        assert np.array_equal(new.get_layer("head").kernel, head)
        print("done")
    """

    assert run(code, tmp_path, timeout=120) == "done\n"


def test_example_of_transfer_learning_runs(tmp_path):
    source = (ROOT / "examples" / "transfer_learning.py").read_text("utf-8")

    printed = run(source)

    assert "0 variables of the encoder have changed" in printed
    assert re.search(r"^restored +4 ", printed, re.M)
    assert re.search(r"^missing +0 ", printed, re.M)
