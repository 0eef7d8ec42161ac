"""What importing the package brings with it, and what only a later use does."""

from fresh import run

LIST_MODULES = "import {}; import sys; print(*sys.modules)"


def test_import_of_fastckpt_brings_nothing_heavier_than_numpy():
    with_numpy = set(run(LIST_MODULES.format("numpy")).split())
    with_fastckpt = set(run(LIST_MODULES.format("numpy, fastckpt.paths.read")).split())

    added = {name for name in with_fastckpt - with_numpy if name.split(".")[0] != "fastckpt"}

    assert "fastckpt" in with_fastckpt
    light = (
        "_cython",
        "cython",
        "__future__",
        "errno",
        "importlib._abc",
        "importlib.util",
        "importlib.machinery",
    )
    assert {name for name in added if not name.startswith(light)} == {"crc32c._crc32c"}


def test_reading_a_tensor_brings_nothing_else(golden):
    code = """
        import sys, numpy, fastckpt.paths.read
        before = set(sys.modules)
        with fastckpt.read(sys.argv[1]) as checkpoint:
            for name in checkpoint:
                checkpoint[name], checkpoint.info(name)
        print(*set(sys.modules) - before)
    """

    assert run(code, golden / "tf1_shapes" / "model.ckpt").split() == []


def test_heavy_modules_are_never_imported_by_fastckpt_itself():
    heavy = {"tensorflow", "ml_dtypes", "snappy", "concurrent.futures", "dataclasses", "argparse",
             "importlib.metadata", "email", "shutil", "difflib", "logging"}  # fmt: skip

    code = """
        import numpy, sys
        before = set(sys.modules)
        import fastckpt.paths.read
        print(*set(sys.modules) - before)
    """

    assert heavy & set(run(code).split()) == set()


def test_listing_a_checkpoint_does_not_import_numpy(golden):
    code = """
        import sys, fastckpt
        print(*[info.tf_dtype for info in fastckpt.list_tensors(sys.argv[1])])
        print(*sys.modules)
    """

    dtypes, modules = run(code, golden / "tf1_saver").splitlines()

    assert "float32" in dtypes.split()
    assert "fastckpt" in modules.split()
    assert "numpy" not in modules.split()
