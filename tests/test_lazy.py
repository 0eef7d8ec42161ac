"""The public names: each is found, and nothing else is there."""

import importlib
import types

import pytest
from fresh import run

import fastckpt

PACKAGES = ["fastckpt", "fastckpt.train"]


@pytest.mark.parametrize("name", PACKAGES)
def test_package_has_its_public_names_and_no_others(name):
    package = importlib.import_module(name)

    found = {each: getattr(package, each) for each in package.__all__}

    assert list(found) == sorted(found)
    assert sorted(package.__all__) == dir(package)
    here = {
        each
        for each, value in vars(package).items()
        if not each.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert here == {
        each
        for each, value in found.items()
        if not each.startswith("_") and not isinstance(value, types.ModuleType)
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_name_that_is_not_there_is_an_attribute_error(name):
    package = importlib.import_module(name)

    for absent in ("Any", "TYPE_CHECKING", "np", "os", "Bundle", "nothing"):
        with pytest.raises(AttributeError, match=f"module '{name}' has no attribute '{absent}'"):
            getattr(package, absent)


def test_errors_offers_what_it_defines():
    errors = fastckpt.errors
    defined = {
        name
        for name, value in vars(errors).items()
        if getattr(value, "__module__", None) == errors.__name__ and not name.startswith("_")
    }

    assert set(errors.__all__) == defined
    assert {each for each in fastckpt.__all__ if each.endswith("Error")} <= defined


def test_train_has_no_class_of_another_purpose():
    assert not hasattr(fastckpt.train, "Checkpoint")


@pytest.mark.parametrize("name", [*PACKAGES, "fastckpt.errors"])
def test_star_import_gives_the_public_names(name):
    names = run(f"from {name} import *; print(*[n for n in dir() if not n.startswith('_')])")

    public = importlib.import_module(name).__all__
    assert names.split() == sorted(each for each in public if not each.startswith("_"))


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("fastckpt.restore", ["saver", "manager", "reader"]),
        ("fastckpt.train.Saver", ["manager", "reader", "restore"]),
        ("fastckpt.train.latest_checkpoint", ["saver", "manager", "reader", "objects"]),
        ("fastckpt.train", ["saver", "manager", "reader", "objects", "restore"]),
    ],
)
def test_use_of_a_name_imports_its_own_module_only(use, absent):
    loaded = run(f"import fastckpt, sys; {use}; print(*sys.modules)").split()

    assert "fastckpt.train" in loaded
    assert [name for name in absent if f"fastckpt.train.{name}" in loaded] == []
