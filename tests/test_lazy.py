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


def test_train_has_no_class_of_another_purpose():
    assert not hasattr(fastckpt.train, "Checkpoint")


@pytest.mark.parametrize("name", PACKAGES)
def test_star_import_gives_the_public_names(name):
    names = run(f"from {name} import *; import {name} as p; print(set(p.__all__) - set(globals()))")

    assert names == "set()\n"


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
