"""CheckpointManager beside TensorFlow's: the same files and states after each step."""

import json
import os
import textwrap

import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.train.manager import CheckpointManager


@pytest.fixture
def tree():
    return {"w": np.arange(3, dtype=np.float32), "net": [{"b": np.ones(2)}], "step": 0}


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
    assert sorted(os.listdir(tmp_path)) == [
        "checkpoint",
        *(f"ckpt-{i}.{end}" for i in (4, 5) for end in ("data-00000-of-00001", "index")),
    ]
