"""Partial restore: arguments that make no sense, and that an error changes nothing."""

import re

import numpy as np
import pytest
from restoring import F32, TENSORS, assert_untouched, damage_last_tensor, zeros_like

import fastckpt
from fastckpt.train.restore import restore


@pytest.fixture
def path(tmp_path):
    fastckpt.write(tmp_path / "old.ckpt", TENSORS, sync=False)
    return tmp_path / "old.ckpt"


# ---- Arguments that make no sense


@pytest.mark.parametrize("target", [None, 5, "v", np.zeros(3), [np.zeros(3)]])
def test_target_without_named_variables_is_a_type_error(path, target):
    with pytest.raises(TypeError, match="variable"):
        restore(target, path)


@pytest.mark.parametrize("source", [None, 5, ["a"], {}])
def test_path_that_is_none_is_a_type_error(source):
    with pytest.raises(TypeError):
        restore({"step": np.array(0)}, source)


def test_path_without_a_checkpoint_is_file_not_found(path):
    with pytest.raises(FileNotFoundError, match="did you mean"):
        restore({"step": np.array(0)}, path.with_name("olt.ckpt"))


@pytest.mark.parametrize("rename", [["ab"], "ab", [("a",)], [("a", "b", "c")], [None]])
def test_rule_that_is_no_pair_is_a_type_error(path, rename):
    with pytest.raises(TypeError, match=r"rename: expected \(regex, replacement\)"):
        restore(zeros_like(["step"]), path, rename=rename)


@pytest.mark.parametrize("rename", [5, [(5, "b")], [("b", 5)], [(b"b", "")], [("b", b"")]])
def test_rule_of_another_type_is_a_type_error(path, rename):
    with pytest.raises(TypeError):
        restore(zeros_like(["step"]), path, rename=rename)


@pytest.mark.parametrize("rule", [("(", "x"), ("a", r"\1"), ("(a)", r"\g<none>")])
@pytest.mark.parametrize("strict", [True, False])
def test_broken_pattern_is_a_value_error_that_shows_it(path, rule, strict):
    target = zeros_like(["step"])

    with pytest.raises(ValueError, match=f"rename: {re.escape(repr(rule))}"):
        restore(target, path, rename=[rule], strict=strict)

    assert_untouched(target)


@pytest.mark.parametrize("name", [5, b"step", ("step",), True])
def test_function_that_gives_no_name_is_a_type_error(path, name):
    with pytest.raises(TypeError, match="rename: expected a name or None for 'bert/layer/bias'"):
        restore(zeros_like(["step"]), path, rename=lambda _: name)


def test_error_of_the_function_passes_through(path):
    target = zeros_like(["step"])

    with pytest.raises(ZeroDivisionError):
        restore(target, path, rename=lambda name: 1 / 0)

    assert_untouched(target)


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("globs", [5, [5], [b"step"], [None]])
def test_globs_that_are_none_are_a_type_error(path, option, globs):
    with pytest.raises(TypeError):
        restore(zeros_like(["step"]), path, **{option: globs})


@pytest.mark.parametrize("include", ["stepp", ["step", "bert/*"], "STEP"])
def test_include_that_matches_no_variable_is_an_error(path, include):
    target = zeros_like(["step"])

    with pytest.raises(ValueError, match="include: .* matches no variable"):
        restore(target, path, include=include)

    assert_untouched(target)


def test_include_that_matches_no_variable_is_fine_when_not_strict(path):
    report = restore(zeros_like(["step"]), path, include=["step", "bert/*"], strict=False)

    assert report.restored == ("step",)


# ---- An error changes nothing


def test_missing_tensor_changes_nothing(path):
    target = {**zeros_like(["step", "bert/layer/bias"]), "zz_lost": np.zeros(4, F32)}

    with pytest.raises(fastckpt.TensorNotFoundError, match="did you mean 'zz_last'") as caught:
        restore(target, path)

    assert caught.value.name == "zz_lost"
    assert caught.value.path == str(path)
    assert_untouched(target)


def test_all_missing_tensors_are_named_up_to_a_few(path):
    target = {f"lost{i}": np.zeros(1) for i in range(9)}

    with pytest.raises(fastckpt.TensorNotFoundError, match="'lost0': .* nor are lost1, .* 3 more"):
        restore(target, path)


def wrong_shape(name):
    return np.zeros((*TENSORS[name].shape, 2), TENSORS[name].dtype)


def wrong_dtype(name):
    return np.zeros(TENSORS[name].shape, np.int16)


@pytest.mark.parametrize("make", [wrong_shape, wrong_dtype])
@pytest.mark.parametrize("wrong", ["zz_last", "labels", "bert/layer/kernel"])
def test_variable_that_does_not_fit_changes_nothing(path, make, wrong):
    target = {**zeros_like(TENSORS), "labels": np.array([b"", b""], object), wrong: make(wrong)}

    with pytest.raises(ValueError, match=f"variable '{wrong}': expected dtype"):
        restore(target, path)

    assert_untouched(target)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("option", [{}, {"verify": True}, {"backend": "pread"}])
def test_wrong_checksum_of_the_last_tensor_changes_nothing(path, strict, option):
    target = zeros_like(["bert/layer/kernel", "step", "zz_last"])
    damage_last_tensor(path)
    source = fastckpt.read(path, **option) if option else path

    with pytest.raises(fastckpt.ChecksumError, match="zz_last"):
        restore(target, source, strict=strict)

    assert_untouched(target)


@pytest.mark.parametrize("strict", [True, False])
def test_variable_that_cannot_be_written_changes_nothing(path, strict):
    target = zeros_like(["bert/layer/kernel", "zz_last"])
    target["zz_last"].flags.writeable = False

    with pytest.raises(ValueError, match="'zz_last': expected one that can be written in place"):
        restore(list(target.items()), path, strict=strict)

    assert_untouched(target)


@pytest.mark.parametrize("strict", [True, False])
def test_string_that_does_not_fit_its_array_changes_nothing(path, strict):
    target = {**zeros_like(["step"]), "labels": np.array(["", ""], "U2")}

    with pytest.raises(ValueError, match="variable 'labels'"):
        restore(target, path, strict=strict)

    assert_untouched(target)


@pytest.mark.parametrize("strict", [True, False])
def test_two_tensors_renamed_to_one_variable_change_nothing(path, strict):
    target = zeros_like(["step"])

    with pytest.raises(ValueError, match="'bert/layer/bias' and '.*' are both renamed to 'step'"):
        restore(target, path, rename=lambda name: "step", strict=strict)

    assert_untouched(target)


def test_damage_elsewhere_is_not_looked_for(path):
    target = zeros_like(["bert/layer/bias"])
    damage_last_tensor(path)

    restore(target, path)

    assert (target["bert/layer/bias"] == 7).all()
