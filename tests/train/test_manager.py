"""CheckpointManager: what it refuses and never loses, and step by step what TensorFlow does."""

import json
import os
import shutil
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.errors import ChecksumError, FormatError, TensorNotFoundError
from fastckpt.paths.state import read_state
from fastckpt.train import manager as manager_module
from fastckpt.train.manager import CheckpointManager

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def tree():
    return {"w": np.arange(3, dtype=np.float32), "net": [{"b": np.ones(2)}], "step": 0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns: `clock.now`, in seconds since 1970."""
    clock = SimpleNamespace(now=1_000_000.0)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


def names_in(folder):
    return sorted(os.listdir(folder))


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- Bad input


@pytest.mark.parametrize("tree", [5, "tree", None, np.zeros(3), object()])
def test_what_is_no_tree_is_a_type_error(tmp_path, tree):
    with pytest.raises(TypeError, match="expected a tree of dicts and lists of variables"):
        CheckpointManager(tree, tmp_path, 3)


@pytest.mark.parametrize("count", [0, -1])
def test_keeping_none_is_a_value_error(tree, tmp_path, count):
    with pytest.raises(ValueError, match=f"Expected a positive integer .* got {count}"):
        CheckpointManager(tree, tmp_path, count)


def test_interval_without_a_counter_is_a_value_error(tree, tmp_path):
    with pytest.raises(ValueError, match="`step_counter` should be passed"):
        CheckpointManager(tree, tmp_path, 3, checkpoint_interval=10)


@pytest.mark.parametrize(
    "text",
    [
        b"model_checkpoint_path",
        b'model_checkpoint_path: "a',
        b'model_checkpoint_path: "\\q"\n',
        b"\x80\x00",
        b'all_model_checkpoint_paths: "a"\n',
    ],
)
def test_damaged_state_file_is_a_format_error(tree, tmp_path, text):
    (tmp_path / "checkpoint").write_bytes(text)

    with pytest.raises(FormatError, match="checkpoint"):
        CheckpointManager(tree, tmp_path, 3)

    assert (tmp_path / "checkpoint").read_bytes() == text


@pytest.mark.parametrize(
    ("number", "error"),
    [(-1, ValueError), (np.int64(-7), ValueError), (1.5, TypeError), (np.zeros(2), TypeError),
     ("step2", ValueError), (b"7", TypeError), ("w", TypeError)],
)  # fmt: skip
def test_number_is_an_integer_of_some_kind(tree, tmp_path, number, error):
    manager = CheckpointManager(tree, tmp_path, 3)

    with pytest.raises(error, match="checkpoint_number"):
        manager.save(checkpoint_number=number)

    assert names_in(tmp_path) == []
    assert manager.save().endswith("ckpt-1")


@pytest.mark.parametrize(
    "counter", [1.5, np.float32(1), "missing", np.zeros(2, np.int64), object()]
)
def test_step_counter_that_counts_nothing_is_an_error(tree, tmp_path, counter):
    manager = CheckpointManager(tree, tmp_path, 3, step_counter=counter, checkpoint_interval=5)

    with pytest.raises((TypeError, ValueError), match="step_counter"):
        manager.save()

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("counter", [1.5, np.zeros(2, np.int64), "1"])
def test_save_counter_that_counts_nothing_is_an_error(tree, tmp_path, counter):
    manager = CheckpointManager({**tree, "save_counter": counter}, tmp_path, 3)

    with pytest.raises((TypeError, ValueError), match="save_counter"):
        manager.save()

    assert names_in(tmp_path) == []


def test_folder_that_cannot_be_made_is_an_os_error(tree, tmp_path):
    (tmp_path / "file").touch()
    manager = CheckpointManager(tree, tmp_path / "file" / "folder", 3)

    with pytest.raises(OSError, match="file"):
        manager.save()

    assert names_in(tmp_path) == ["file"]


def test_value_that_no_checkpoint_holds_leaves_what_was_there(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    before = contents_of(tmp_path)
    tree["net"].append(object())

    with pytest.raises(TypeError, match="'net/1'"):
        manager.save()

    assert contents_of(tmp_path) == before
    assert manager.checkpoints == [str(tmp_path / "ckpt-1")]
    assert manager.latest_checkpoint == str(tmp_path / "ckpt-1")


def test_nothing_is_deleted_when_the_state_cannot_be_written(tree, tmp_path, monkeypatch):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()

    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(manager_module, "store_state", fail)
        with pytest.raises(OSError, match="No space left"):
            manager.save()

    assert fastckpt.read(tmp_path)["save_counter" + VALUE] == 1
    assert {"ckpt-1.index", "ckpt-2.index"} < set(names_in(tmp_path))


def test_old_checkpoint_goes_after_the_new_one_and_the_state(tree, tmp_path, monkeypatch):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    seen = []
    unlink = os.unlink

    def watch(path, **keywords):
        if os.path.basename(path).startswith("ckpt-1."):
            latest = read_state(tmp_path / "checkpoint").model_checkpoint_path
            seen.append((os.path.basename(path), latest, fastckpt.read(tmp_path).problems()))
        unlink(path, **keywords)

    monkeypatch.setattr(os, "unlink", watch)
    manager.save()

    assert [(name, latest) for name, latest, _ in seen] == [
        ("ckpt-1.index", "ckpt-2"),
        ("ckpt-1.data-00000-of-00001", "ckpt-2"),
    ]
    assert all(list(problems) == [] for *_, problems in seen)


def test_file_that_cannot_be_deleted_is_no_reason_to_fail(tree, tmp_path, monkeypatch, caplog):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    unlink = os.unlink

    def refuse(path, **keywords):
        if "ckpt-1" in str(path):
            raise PermissionError(13, "Permission denied", path)
        unlink(path, **keywords)

    monkeypatch.setattr(os, "unlink", refuse)

    assert manager.save() == str(tmp_path / "ckpt-2")
    assert "Permission denied" in caplog.text
    assert manager.checkpoints == [str(tmp_path / "ckpt-2")]


def test_nothing_changes_when_a_value_does_not_fit(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(7)}], "step": 9}
    manager = CheckpointManager(other, tmp_path, 3)

    with pytest.raises(ValueError, match="net/0/b"):
        manager.restore_or_initialize()

    assert not other["w"].any()
    assert other["step"] == 9


def test_object_that_is_not_in_the_checkpoint_is_an_error(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    other = {"w": np.zeros(3, np.float32), "new": np.zeros(1)}

    with pytest.raises(TensorNotFoundError, match="'new'"):
        CheckpointManager(other, tmp_path, 3).restore_or_initialize()

    assert not other["w"].any()


def test_damaged_checkpoint_is_an_error_and_changes_nothing(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    data = tmp_path / "ckpt-1.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[25] ^= 1
    data.write_bytes(raw)
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(2)}], "step": 9}

    with pytest.raises(ChecksumError):
        CheckpointManager(other, tmp_path, 3).restore_or_initialize()

    assert not other["w"].any()


def test_latest_checkpoint_that_is_gone_is_an_error(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save()
    (tmp_path / "ckpt-1.index").unlink()

    with pytest.raises(FileNotFoundError, match="ckpt-1"):
        CheckpointManager(tree, tmp_path, 3, init_fn=pytest.fail).restore_or_initialize()


# ---- What it does


def test_properties_are_what_was_given(tree, tmp_path):
    manager = CheckpointManager(
        tree, tmp_path, 3, step_counter=np.array(4), checkpoint_interval=10, last_checkpoint_step=1
    )

    assert manager.checkpoint is tree
    assert manager.directory == str(tmp_path)
    assert manager.checkpoint_interval == 10
    assert (manager.latest_checkpoint, manager.checkpoints) == (None, [])
    assert manager.sync() is None


def test_training_goes_on_where_it_ended(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 2)
    for step in range(3):
        tree["step"] = step
        tree["w"] += 1
        manager.save()
    other = {"w": np.zeros(3, np.float32), "net": [{"b": np.zeros(2)}], "step": 0}
    again = CheckpointManager(other, tmp_path, 2)

    assert again.restore_or_initialize() == str(tmp_path / "ckpt-3")
    assert other["w"].tolist() == [3, 4, 5]
    assert other["step"] == 2
    assert again.save() == str(tmp_path / "ckpt-4")
    assert again.checkpoints == [str(tmp_path / "ckpt-3"), str(tmp_path / "ckpt-4")]


def test_flat_mapping_is_a_tree_of_one_level(tmp_path):
    flat = {"dense/kernel": np.ones((2, 3)), "dense/bias": np.zeros(3)}
    CheckpointManager(flat, tmp_path, 1).save()
    flat["dense/kernel"][:] = 0

    CheckpointManager(flat, tmp_path, 1).restore_or_initialize()

    assert flat["dense/kernel"].all()
    assert set(fastckpt.read(tmp_path).variables) == {*flat, "save_counter"}


@pytest.mark.parametrize("counter", [0, np.int64(0), np.array(0)])
def test_counter_of_the_tree_is_shared_by_managers(tree, tmp_path, counter):
    tree["save_counter"] = counter
    one = CheckpointManager(tree, tmp_path / "a", 3)
    two = CheckpointManager(tree, tmp_path / "b", 3)

    paths = [one.save(), two.save(), one.save()]

    assert [os.path.relpath(path, tmp_path) for path in paths] == [
        "a/ckpt-1",
        "b/ckpt-2",
        "a/ckpt-3",
    ]
    assert tree["save_counter"] == 3
    assert fastckpt.read(tmp_path / "b")["save_counter" + VALUE] == 2


def test_counter_of_the_tree_is_restored(tree, tmp_path):
    CheckpointManager(tree, tmp_path, 3).save(checkpoint_number=40)
    tree["save_counter"] = 0
    manager = CheckpointManager(tree, tmp_path, 3)

    manager.restore_or_initialize()

    assert tree["save_counter"] == 1
    assert manager.save() == str(tmp_path / "ckpt-2")


def test_step_may_be_the_name_of_an_entry(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 9, step_counter="step", checkpoint_interval=10)
    saved = []

    for tree["step"] in (0, 5, 10, 19, 20):
        saved.append(manager.save(checkpoint_number="step") is not None)

    assert saved == [True, False, True, False, True]
    assert [os.path.basename(path) for path in manager.checkpoints] == [
        "ckpt-0", "ckpt-10", "ckpt-20",
    ]  # fmt: skip


def test_save_that_failed_may_be_tried_again_at_the_same_step(tree, tmp_path):
    tree["bad"] = object()
    manager = CheckpointManager(tree, tmp_path, 9, step_counter="step", checkpoint_interval=10)
    with pytest.raises(TypeError, match="'bad'"):
        manager.save()
    del tree["bad"]

    assert manager.save() is not None


def test_meta_file_of_the_same_name_stays(tree, tmp_path):
    manager = CheckpointManager(tree, tmp_path, 1)
    manager.save()
    (tmp_path / "ckpt-1.meta").touch()

    manager.save()

    assert "ckpt-1.meta" in names_in(tmp_path)
    assert "ckpt-1.index" not in names_in(tmp_path)


def test_checkpoint_of_another_spelling_is_not_deleted(tree, tmp_path, clock):
    folder = tmp_path / "folder"
    manager = CheckpointManager(tree, folder, 2)
    manager.save()
    manager.save()
    shutil.copytree(folder, tmp_path / "copy")
    state = folder / "checkpoint"
    absolute = state.read_text().replace(
        '"ckpt-1"', json.dumps(str(folder / "x" / ".." / "ckpt-1"))
    )
    (folder / "x").mkdir()
    state.write_text(absolute)

    again = CheckpointManager(tree, folder, 1)
    again.save(checkpoint_number=1)

    assert again.checkpoints == [str(folder / "ckpt-1")]
    assert "ckpt-1.index" in names_in(folder)


def test_folder_of_tensorflow_is_continued(golden, tmp_path):
    shutil.copytree(golden / "tf2_manager", tmp_path / "run")
    tree = {"step": np.array(0), "x": np.zeros(3, np.float32)}
    manager = CheckpointManager(tree, tmp_path / "run", 3, checkpoint_name="run")

    assert manager.restore_or_initialize() == str(tmp_path / "run" / "run-500")
    assert tree["step"] == 500
    assert tree["x"].tolist() == [32, 64, 96]
    assert [os.path.basename(each) for each in manager.checkpoints] == [
        "run-300", "run-400", "run-500",
    ]  # fmt: skip
    manager.save(checkpoint_number=600)
    assert fastckpt.read(tmp_path / "run")["save_counter" + VALUE] == 6
    assert not (tmp_path / "run" / "run-300.index").exists()


def test_clock_is_asked_at_each_save(tree, tmp_path, clock):
    manager = CheckpointManager(tree, tmp_path, 2)
    manager.save()
    clock.now += 60

    manager.save()

    state = read_state(tmp_path / "checkpoint")
    assert state.all_model_checkpoint_timestamps == (1_000_000.0, 1_000_060.0)
    assert state.last_preserved_timestamp == 999_999.0


# ---- Side by side with TensorFlow

SCENARIOS = {
    "max_to_keep": [["manager", {"max_to_keep": 3}], *[["save", {}]] * 6],
    "keep one": [["manager", {"max_to_keep": 1}], *[["save", {}]] * 3],
    "keep all": [["manager", {"max_to_keep": None}], *[["save", {}]] * 7],
    "hours": [
        ["manager", {"max_to_keep": 2, "keep_checkpoint_every_n_hours": 1}],
        *[step for _ in range(9) for step in (["save", {}], ["clock", 1500])],
    ],
    "hours of all": [
        ["manager", {"max_to_keep": None, "keep_checkpoint_every_n_hours": 0.1}],
        *[step for _ in range(4) for step in (["save", {}], ["clock", 1500])],
    ],
    "short hours": [
        ["manager", {"max_to_keep": 1, "keep_checkpoint_every_n_hours": 0.001}],
        *[step for _ in range(4) for step in (["save", {}], ["clock", 3.7])],
    ],
    "restart with restoring": [
        ["manager", {"max_to_keep": 3}], ["save", {}], ["clock", 7], ["save", {}], ["save", {}],
        ["clock", 9], ["manager", {"max_to_keep": 3}], ["restore"], ["save", {}], ["save", {}],
    ],
    "restart without restoring": [
        ["manager", {"max_to_keep": 3}], *[["save", {}]] * 4,
        ["manager", {"max_to_keep": 3}], *[["save", {}]] * 3,
    ],
    "restart with another number to keep": [
        ["manager", {"max_to_keep": 5}], *[["save", {}]] * 5,
        ["manager", {"max_to_keep": 2}], ["restore"], ["save", {}],
    ],
    "restart with hours": [
        ["manager", {"max_to_keep": 2, "keep_checkpoint_every_n_hours": 1}],
        *[step for _ in range(4) for step in (["save", {}], ["clock", 4000])],
        ["manager", {"max_to_keep": 1, "keep_checkpoint_every_n_hours": 2}], ["restore"],
        *[step for _ in range(4) for step in (["save", {}], ["clock", 4000])],
    ],
    "clock that goes back": [
        ["manager", {"max_to_keep": 2, "keep_checkpoint_every_n_hours": 0.01}],
        *[step for _ in range(4) for step in (["save", {}], ["clock", 50])],
        ["clock", -5000], ["manager", {"max_to_keep": 2}], ["restore"],
        *[["save", {}], ["clock", 1]] * 3,
    ],
    "numbers": [
        ["manager", {"max_to_keep": 2}], ["save", {"checkpoint_number": 100}], ["save", {}],
        ["save", {"checkpoint_number": 7}], ["step", 12], ["save", {"checkpoint_number": "step"}],
        ["save", {}], ["save", {"checkpoint_number": 0}],
    ],
    "same number twice": [
        ["manager", {"max_to_keep": 2}], *[["save", {"checkpoint_number": 5}], ["clock", 1]] * 3,
        ["save", {"checkpoint_number": 6}], ["save", {"checkpoint_number": 5}], ["save", {}],
    ],
    "interval": [
        ["manager", {"max_to_keep": 3, "checkpoint_interval": 10}],
        *[each for n in (0, 3, 10, 10, 19, 20, 35, 36) for each in (["step", n], ["save", {}])],
        ["save", {"check_interval": False}], ["step", 37], ["save", {"check_interval": False}],
        ["manager", {"max_to_keep": 3, "checkpoint_interval": 10}], ["restore"], ["save", {}],
        ["step", 46], ["save", {}], ["step", 47], ["save", {}],
    ],
    "interval from a given step": [
        ["manager", {"max_to_keep": 3, "checkpoint_interval": 10, "last_checkpoint_step": 5}],
        *[each for n in (5, 9, 14, 15) for each in (["step", n], ["save", {}])],
    ],
    "state of a Saver": [
        ["files", ["old-1.index", "old-1.data-00000-of-00001", "old-2.index"]],
        ["state", "old-2", ["old-1", "old-2"]],
        ["manager", {"max_to_keep": 1}], ["save", {}], ["save", {}],
    ],
    "state of a Saver with the same names": [
        ["files", ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-1.meta"]],
        ["state", "ckpt-1", ["ckpt-1"]],
        ["manager", {"max_to_keep": 1}], *[["save", {}]] * 3,
    ],
    "name": [
        ["manager", {"max_to_keep": 1, "checkpoint_name": "it's a.name"}], *[["save", {}]] * 2,
        ["manager", {"max_to_keep": 2, "checkpoint_name": "other"}], ["restore"],
        *[["save", {}]] * 2,
    ],
    "files that somebody deleted": [
        ["manager", {"max_to_keep": 2}], *[["save", {}]] * 2, ["delete", "ckpt-1.index"],
        ["save", {}], ["delete", "ckpt-3.data-00000-of-00001"], ["save", {}], ["save", {}],
    ],
    "nothing to restore": [
        ["manager", {"max_to_keep": 2}], ["restore"], ["manager", {"max_to_keep": 2}, "init"],
        ["restore"], ["save", {}], ["manager", {"max_to_keep": 2}, "init"], ["restore"],
    ],
    "errors": [
        ["manager", {"max_to_keep": 0}], ["manager", {"max_to_keep": -3}],
        ["manager", {"max_to_keep": 1, "step_counter": None, "checkpoint_interval": 3}],
        ["manager", {"max_to_keep": 1}], ["save", {}],
    ],
    "relative folder": [
        ["manager", {"max_to_keep": 2}], *[["save", {}]] * 3,
        ["manager", {"max_to_keep": 1}], ["restore"], ["save", {}],
    ],
    "many": [["manager", {"max_to_keep": 10}], *[["save", {}], ["clock", 0.125]] * 25],
}  # fmt: skip

PLAY = """
    import hashlib, os, shutil, time

    class Play:
        def __init__(self, folder):
            self.folder, self.now = folder, 1795395482.9561229
            time.time = lambda: self.now

        def clock(self, seconds):
            self.now += seconds

        def manager(self, arguments, init=None):
            self.last = None
            self.make_variables()
            keywords = {"step_counter": self.step_variable, **arguments}
            if init:
                keywords["init_fn"] = lambda: self.step(77)
            self.last = self.make_manager(**keywords)

        def save(self, arguments):
            self.now += 0.5
            self.train()
            if arguments.get("checkpoint_number") == "step":
                arguments = {"checkpoint_number": self.step_variable}
            return self.last.save(**arguments)

        def restore(self):
            return [self.last.restore_or_initialize(), self.values()]

        def files(self, names):
            os.makedirs(self.folder, exist_ok=True)
            for name in names:
                with open(os.path.join(self.folder, name), "wb"):
                    pass

        def delete(self, name):
            os.unlink(os.path.join(self.folder, name))

        def look(self):
            found = {}
            for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []:
                with open(os.path.join(self.folder, name), "rb") as file:
                    data = file.read()
                is_state = name == "checkpoint"
                found[name] = data.decode() if is_state else hashlib.sha256(data).hexdigest()
            if self.last is not None:
                found["properties"] = [self.last.checkpoints, self.last.latest_checkpoint]
            return found

    def play(make, scenarios, root):
        seen = {}
        for number, (name, steps) in enumerate(scenarios.items()):
            folder = os.path.join(root, "s%d" % number, "deep", "folder")
            if name.startswith("relative"):
                os.chdir(root)
                folder = os.path.relpath(folder, root)
            each, seen[name] = make(folder), []
            each.last = None
            for step, *arguments in steps:
                try:
                    result = getattr(each, step)(*arguments)
                except ValueError as error:
                    result = str(error)
                seen[name].append([step, arguments, result, each.look()])
        return seen
"""

THEIRS = """
    import json, sys
    import tensorflow as tf

    class Theirs(Play):
        def make_variables(self):
            self.v = tf.Variable([0.0, 1.0], name="net/v")
            self.step_variable = tf.Variable(0, dtype=tf.int64, name="step")

        def make_manager(self, **keywords):
            checkpoint = tf.train.Checkpoint(net={"v": self.v}, step=self.step_variable)
            return tf.train.CheckpointManager(checkpoint, self.folder, **keywords)

        def train(self):
            self.v.assign(self.v * 2 + 1)

        def step(self, number):
            self.step_variable.assign(number)

        def values(self):
            return [self.v.numpy().tolist(), int(self.step_variable)]

        def state(self, latest, paths):
            tf.compat.v1.train.update_checkpoint_state(self.folder, latest, paths)

    with open(sys.argv[1]) as file:
        scenarios = json.load(file)
    seen = play(Theirs, scenarios, sys.argv[2])
    with open(sys.argv[1], "w") as file:
        json.dump(seen, file)
"""


def define_ours(namespace):
    class Ours(namespace["Play"]):
        def make_variables(self):
            self.v = np.array([0, 1], np.float32)
            self.step_variable = np.array(0)

        def make_manager(self, **keywords):
            tree = {"net": {"v": self.v}, "step": self.step_variable}
            return fastckpt.train.CheckpointManager(tree, self.folder, **keywords)

        def train(self):
            self.v *= 2
            self.v += 1

        def step(self, number):
            self.step_variable[...] = number

        def values(self):
            return [self.v.tolist(), int(self.step_variable)]

        def state(self, latest, paths):
            fastckpt.train.update_checkpoint_state(self.folder, latest, paths)

    return Ours


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What was seen after each step of every scenario: (ours, TensorFlow's)."""
    ours, theirs = tmp_path_factory.mktemp("root_a"), tmp_path_factory.mktemp("root_b")
    scenarios = theirs / "scenarios.json"
    scenarios.write_text(json.dumps(SCENARIOS), encoding="utf-8")
    run(textwrap.dedent(PLAY) + textwrap.dedent(THEIRS), scenarios, theirs, timeout=300)
    namespace = {}
    exec(textwrap.dedent(PLAY), namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", None)  # to be put back: a play changes it, and the folder
        patch.chdir(ours)
        seen = namespace["play"](define_ours(namespace), SCENARIOS, str(ours))
    expected = scenarios.read_text(encoding="utf-8").replace(str(theirs), str(ours))
    return json.loads(json.dumps(seen)), json.loads(expected)


@pytest.mark.tensorflow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_step_leaves_what_tensorflow_leaves(both, scenario):
    ours, theirs = (seen[scenario] for seen in both)

    assert len(ours) == len(theirs) == len(SCENARIOS[scenario])
    for one, other in zip(ours, theirs, strict=True):
        assert one == other


@pytest.mark.tensorflow
def test_tensorflow_goes_on_with_our_folder_and_we_with_its(tree, tmp_path):
    code = """
        import sys
        import numpy as np, tensorflow as tf

        w, b = tf.Variable(np.zeros(3, "f4")), tf.Variable(np.zeros(2))
        step = tf.Variable(0, dtype=tf.int64)
        checkpoint = tf.train.Checkpoint(w=w, net=[{"b": b}], step=step)
        manager = tf.train.CheckpointManager(checkpoint, sys.argv[1], max_to_keep=2)
        checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        assert len(manager.checkpoints) == 2
        step.assign_add(100)
        w.assign_add([1, 1, 1])
        print(manager.save())
    """
    manager = CheckpointManager(tree, tmp_path, 2)
    for tree["step"] in range(4):
        manager.save()

    saved = run(code, tmp_path, timeout=120)
    again = CheckpointManager(tree, tmp_path, 2)
    again.restore_or_initialize()

    assert saved == f"{tmp_path / 'ckpt-5'}\n"
    assert tree["step"] == 103
    assert tree["w"].tolist() == [1, 2, 3]
    assert names_in(tmp_path) == [
        "checkpoint",
        *(f"ckpt-{i}.{end}" for i in (4, 5) for end in ("data-00000-of-00001", "index")),
    ]
