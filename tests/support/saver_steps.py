"""Scenarios of saving, run under `tf.train` and under `fastckpt.train` alike.

As a program this file runs them under the TensorFlow of its interpreter (1.15 on Python 3.7, hence
the plain syntax, or 2.21) and prints what happened as JSON:

    python saver_steps.py FOLDER

A scenario is a function of an `Api`, which hides only what differs: how variables are made and
changed. It runs in an empty folder, under a clock of its own, and logs what calls returned or
raised. What it leaves on disk is part of the result: every file's name, the text of state files,
a hash of any other, and only the presence of `.meta` files, whose bytes TensorFlow does not fix.
"""

import hashlib
import json
import os
import re
import sys
import time

import numpy as np

VALUES = {
    "v1": np.arange(3, dtype=np.float32),
    "scope/v2": np.arange(6, dtype=np.int64).reshape(2, 3),
    "step": np.array(7, np.int64),
}
START = 1000000.0  # seconds; what the clock shows when a scenario begins
HOUR = 3600.0
HERE = "<here>"  # stands for the scenario's folder


class Api:
    """What a scenario works with: `train`, variables, the clock and the log."""

    def __init__(self, train):
        self.train = train
        self.now = START
        self.log = []

    def say(self, call, *arguments, **options):
        """Log what a call returns or raises. Errors that TensorFlow raises from Python are logged
        with their message, those of its core by what they mean."""
        try:
            result = call(*arguments, **options)
        except Exception as error:
            self.log.append(self.spell_error(error))
            return None
        self.log.append(self.spell(result))
        return result

    def spell(self, value):
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str):
            return value.replace(os.getcwd(), HERE)
        if isinstance(value, (np.ndarray, np.generic)):
            return [str(value.dtype), list(value.shape), repr(value.tolist())]
        if isinstance(value, (list, tuple)):
            return [self.spell(item) for item in value]
        return value

    def spell_error(self, error):
        kind = self.kind_of(error)
        message = str(error) if kind in ("RuntimeError", "TypeError", "ValueError") else ""
        return [kind, self.spell(message)]

    def state(self, *arguments):
        """Log what get_checkpoint_state returns."""
        state = self.train.get_checkpoint_state(*arguments)
        if state is None:
            self.log.append(None)
        else:
            paths = list(state.all_model_checkpoint_paths)
            self.log.append([self.spell(state.model_checkpoint_path), self.spell(paths)])

    def save_steps(self, saver, path, steps, seconds=0.0, **options):
        """Save at each step; the clock goes on in between."""
        for step in steps:
            self.say(saver.save, self.sess, path, global_step=step, **options)
            self.now += seconds
        self.say(lambda: saver.last_checkpoints)


class Ours(Api):
    """fastckpt: the session is a dict."""

    def __init__(self, train):
        super().__init__(train)
        self.variables()

    def variables(self, values=None):
        self.sess = {k: np.array(v) for k, v in (VALUES if values is None else values).items()}
        self.vars = dict(self.sess)

    def add(self, name, amount):
        self.sess[name] += amount

    def value(self, name):
        return self.sess[name]

    def kind_of(self, error):
        names = [kind.__name__ for kind in type(error).__mro__]
        if "TensorNotFoundError" in names or isinstance(error, OSError):
            return "missing"
        return "damaged" if "CheckpointError" in names else type(error).__name__


class Theirs(Api):
    """TensorFlow: a graph of resource variables and a session."""

    def __init__(self, tf):
        super().__init__(tf.compat.v1.train)
        self.tf = tf.compat.v1
        self.context = None
        self.variables()

    def variables(self, values=None):
        self.close()
        graph = self.tf.Graph()
        self.context = graph.as_default()
        self.context.__enter__()
        self.vars = {
            name: self.tf.get_variable(
                name, initializer=self.tf.constant(value), use_resource=False
            )
            for name, value in (VALUES if values is None else values).items()
        }
        self.sess = self.tf.Session()
        self.sess.run(self.tf.global_variables_initializer())

    def close(self):
        if self.context is not None:
            self.sess.close()
            self.context.__exit__(None, None, None)
            self.context = None

    def add(self, name, amount):
        variable = self.vars[name]
        self.sess.run(self.tf.assign(variable, variable + amount))

    def value(self, name):
        return self.sess.run(self.vars[name])

    def kind_of(self, error):
        errors = self.tf.errors
        if isinstance(error, (errors.NotFoundError, errors.FailedPreconditionError)):
            return "missing"
        if isinstance(error, errors.DataLossError):
            return "damaged"
        if isinstance(error, errors.InvalidArgumentError):
            return "ValueError "  # with another message than ours
        return type(error).__name__


# ---- Retention


def keeps_the_last_two(api):
    api.save_steps(api.train.Saver(max_to_keep=2), "k/m", range(5))


def keeps_five_by_default(api):
    api.save_steps(api.train.Saver(), "k/m", range(0, 80, 10))


def keeps_one(api):
    api.save_steps(api.train.Saver(max_to_keep=1), "k/m", range(3))


def keeps_all_with_none(api):
    api.save_steps(api.train.Saver(max_to_keep=None), "k/m", range(3))


def keeps_all_with_zero(api):
    api.save_steps(api.train.Saver(max_to_keep=0), "k/m", range(3))


def keeps_one_of_each_hour(api):
    saver = api.train.Saver(max_to_keep=2, keep_checkpoint_every_n_hours=1)
    api.save_steps(saver, "k/m", range(14), seconds=0.3 * HOUR)


def keeps_one_of_each_six_minutes(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=0.1)
    api.save_steps(saver, "k/m", range(12), seconds=100)


def keeps_all_with_no_hours(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=0)
    api.save_steps(saver, "k/m", range(4), seconds=1)


def keeps_one_after_a_long_pause(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=2)
    api.save_steps(saver, "k/m", range(3), seconds=60)
    api.now += 9 * HOUR
    api.save_steps(saver, "k/m", range(3, 8), seconds=60)


def same_step_twice(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", [1, 2])
    api.add("v1", 1.0)
    api.save_steps(saver, "k/m", [1, 3])


def same_path_again_and_again(api):
    saver = api.train.Saver(max_to_keep=1)
    for _ in range(3):
        api.add("v1", 1.0)
        api.say(saver.save, api.sess, "k/m")
    api.say(lambda: saver.last_checkpoints)


def two_savers_in_one_folder(api):
    one, other = api.train.Saver(max_to_keep=1), api.train.Saver(max_to_keep=1)
    api.save_steps(one, "k/one", [1, 2])
    api.save_steps(other, "k/other", [1, 2])
    api.save_steps(one, "k/one", [3])


def two_prefixes_of_one_saver(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/a", [1])
    api.save_steps(saver, "j/b", [1, 2])
    api.save_steps(saver, "k/a", [2])


def recovers_after_a_restart(api):
    api.save_steps(api.train.Saver(max_to_keep=5), "k/m", range(4))
    for i in range(4):
        os.utime(f"k/m-{i}.index", (START + i, START + i + 0.75))
    saver = api.train.Saver(max_to_keep=3)
    saver.recover_last_checkpoints(["k/m-0", "k/m-9", "k/m-2", "k/m-3"])
    api.save_steps(saver, "k/m", [4, 5, 6])


def recovered_ones_are_kept_if_they_are_young(api):
    api.save_steps(api.train.Saver(), "k/m", range(3))
    for i in range(3):
        os.utime(f"k/m-{i}.index", (START, START + 2 * HOUR * i))
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1)
    saver.recover_last_checkpoints(["k/m-0", "k/m-1", "k/m-2"])
    api.save_steps(saver, "k/m", [3, 4, 5, 6])


def forgets_without_recovering(api):
    api.save_steps(api.train.Saver(max_to_keep=2), "k/m", [1, 2])
    api.save_steps(api.train.Saver(max_to_keep=2), "k/m", [3, 4, 5])


def list_without_times_is_never_deleted(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 2])
    saver = api.train.Saver(max_to_keep=1)
    saver.set_last_checkpoints(["k/m-1", "k/m-2"])
    api.save_steps(saver, "k/m", [3, 4, 5])


def list_with_times(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 2, 3])
    saver = api.train.Saver(max_to_keep=2, keep_checkpoint_every_n_hours=1)
    saver.set_last_checkpoints_with_time(
        [("k/m-1", START + 2 * HOUR), ("k/m-2", START), ("k/m-3", START)]
    )
    api.save_steps(saver, "k/m", [4, 5, 6])
    api.say(saver.set_last_checkpoints, "k/m-1")


def other_meta_suffix_is_deleted_by_the_suffix_of_the_call(api):
    saver = api.train.Saver(max_to_keep=1)
    api.save_steps(saver, "k/m", [1, 2], meta_graph_suffix="graph")
    api.save_steps(saver, "k/m", [3])


# ---- Names, paths and the state file


def pads_the_step(api):
    saver = api.train.Saver(pad_step_number=True)
    api.save_steps(saver, "k/m", [0, 7, 12345678, 123456789])


def steps_of_several_kinds(api):
    saver = api.train.Saver()
    api.save_steps(saver, "k/m", [0, np.int32(3), np.int64(2**40), True])
    api.say(saver.save, api.sess, "k/m", global_step=api.vars["step"])
    api.say(saver.save, api.sess, "k/m", global_step="step:0")


def relative_path(api):
    os.makedirs("a/b")
    api.save_steps(api.train.Saver(), "a/b/c/m", [1, 2])
    api.state("a/b/c")


def relative_path_with_dots(api):
    os.makedirs("a/b")
    api.save_steps(api.train.Saver(), "./a/../a/b/m", [1, 2])
    api.state("a/b")


def absolute_path(api):
    api.save_steps(api.train.Saver(), os.path.join(os.getcwd(), "k", "m"), [1, 2])
    api.state("k")


def absolute_path_stored_as_a_relative_one(api):
    saver = api.train.Saver(save_relative_paths=True)
    api.save_steps(saver, os.path.join(os.getcwd(), "k", "m"), [1, 2])
    api.state(os.path.join(os.getcwd(), "k"))


def relative_path_stored_as_a_relative_one(api):
    os.makedirs("a")
    api.save_steps(api.train.Saver(save_relative_paths=True), "a/k/m", [1, 2])


def no_folder_in_the_path(api):
    api.save_steps(api.train.Saver(), "m", [1, 2])
    api.say(api.train.latest_checkpoint, ".")
    api.say(api.train.latest_checkpoint, "")


def prefix_without_a_name(api):
    os.makedirs("d")
    api.say(api.train.Saver().save, api.sess, "d/")
    api.save_steps(api.train.Saver(), "d/", [1])


def path_that_ends_like_a_step(api):
    api.say(api.train.Saver().save, api.sess, "k/m-5")
    api.save_steps(api.train.Saver(), "k/m-5", [6])


def path_that_ends_like_a_shard(api):
    saver = api.train.Saver(max_to_keep=1)
    api.say(saver.save, api.sess, "k/run-3-of-5")
    api.say(saver.save, api.sess, "k/run-4-of-5")


def paths_that_need_escaping(api):
    for name in ["it's", 'say "hi"', "back\\slash", "tab\there", "line\nbreak", "\x01\x7f"]:
        api.say(api.train.Saver().save, api.sess, name + "/m", global_step=1)
        api.state(name)
    saver = api.train.Saver()
    for i, name in enumerate(["it's", 'say "hi"', "a\tb", "c\\d", "e\nf"]):
        api.say(saver.save, api.sess, "k/" + name, global_step=i)


def paths_beyond_ascii(api):
    saver = api.train.Saver()
    for name in ["\u00e9t\u00e9", "\u6a21\u578b", "\U0001f40d"]:
        api.say(saver.save, api.sess, "k/" + name, global_step=1)


def other_state_files(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", [1, 2], latest_filename="latest")
    api.save_steps(saver, "k/m", [3], latest_filename="other")
    api.say(api.train.latest_checkpoint, "k")
    api.say(api.train.latest_checkpoint, "k", "latest")
    api.say(api.train.latest_checkpoint, "k", "other")


def without_a_state_file(api):
    saver = api.train.Saver(max_to_keep=1)
    api.save_steps(saver, "k/m", [1, 2], write_state=False)
    api.save_steps(saver, "k/m", [3, 4])


def without_a_graph(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", [1, 2, 3], write_meta_graph=False)


def with_another_suffix(api):
    api.save_steps(api.train.Saver(), "k/m", [1], meta_graph_suffix="graph.pb")


def missing_folders(api):
    saver = api.train.Saver()
    api.say(saver.save, api.sess, "one/m")
    api.say(saver.save, api.sess, "one/two/three/m")
    api.say(api.train.Saver(sharded=True).save, api.sess, "four/m")
    with open("file", "w"):
        pass
    api.say(saver.save, api.sess, "file/m")


def mistakes(api):
    saver = api.train.Saver()
    api.say(saver.save, api.sess, "k/m", latest_filename="a/b")
    api.say(saver.save, api.sess, "checkpoint")
    api.say(saver.save, api.sess, "k/latest", latest_filename="latest")
    api.say(saver.save, api.sess, "k/checkpoint", global_step=1)
    api.say(api.train.Saver, [])
    api.say(api.train.Saver, {})
    api.say(api.train.Saver, api.vars, defer_build=True)
    api.say(api.train.Saver(defer_build=True).save, api.sess, "k/m")


def state_file_in_the_place_of_a_sharded_checkpoint(api):
    os.makedirs("k")
    api.say(api.train.Saver(sharded=True).save, api.sess, "k/checkpoint")
    api.state("k")


# ---- What is saved


def sharded(api):
    os.makedirs("k")
    api.save_steps(api.train.Saver(sharded=True, max_to_keep=1), "k/m", [1, 2])
    api.state("k")


def chosen_variables(api):
    api.say(
        api.train.Saver({"a": api.vars["v1"], "b/c": api.vars["step"]}).save, api.sess, "k/some"
    )
    api.say(api.train.Saver({"z": api.vars["v1"], "a": api.vars["scope/v2"]}).save, api.sess, "k/m")
    for prefix in ["k/some", "k/m"]:
        api.say(api.train.list_variables, prefix)


def values_of_many_kinds(api):
    api.variables(
        {
            "f16": np.array([1.5, -2], np.float16),
            "f64": np.array(2.5),
            "b": np.array([True, False]),
            "c": np.array([1 + 2j], np.complex64),
            "i8": np.array([-1], np.int8),
            "u8": np.array([255], np.uint8),
            "text": np.array([b"a", b"", b"long" * 50], object),
            "empty": np.zeros((0, 3), np.float32),
            "cube": np.arange(24.0).reshape(2, 3, 4),
        }
    )
    saver = api.train.Saver()
    api.say(saver.save, api.sess, "k/m")
    reader = api.train.NewCheckpointReader("k/m")
    api.say(reader.debug_string)
    for name, shape in sorted(reader.get_variable_to_shape_map().items()):
        api.say(lambda name=name, shape=shape: [name, shape, reader.get_tensor(name)])


def nothing_to_save(api):
    api.variables({})
    saver = api.train.Saver(allow_empty=True)
    api.say(saver.save, api.sess, "m", write_meta_graph=False)
    api.say(saver.restore, api.sess, "nowhere")


def saved_over_while_values_change(api):
    saver = api.train.Saver()
    for _ in range(2):
        api.add("scope/v2", 5)
        api.say(saver.save, api.sess, "k/m", global_step=1)
    api.say(api.train.load_variable, "k", "scope/v2")


# ---- V1


def v1_files(api):
    os.makedirs("k")
    saver = api.train.Saver(write_version=1, max_to_keep=2)
    api.save_steps(saver, "k/m", range(4))
    api.state("k")
    api.say(api.train.latest_checkpoint, "k")


def v1_files_in_shards(api):
    os.makedirs("k")
    saver = api.train.Saver(write_version=1, sharded=True, max_to_keep=1)
    api.save_steps(saver, "k/m", range(3))
    api.say(api.train.latest_checkpoint, "k")
    api.say(api.train.checkpoint_exists, "k/m-2-?????-of-00001")
    api.say(api.train.checkpoint_exists, "k/m-1-?????-of-00001")


def v1_file_into_a_missing_folder(api):
    api.say(api.train.Saver(write_version=1).save, api.sess, "k/m")


def v1_is_restored(api):
    os.makedirs("k")
    saver = api.train.Saver(write_version=1)
    path = api.say(saver.save, api.sess, "k/m")
    api.add("v1", 1.0)
    api.say(api.train.Saver().restore, api.sess, path)
    api.say(api.value, "v1")


# ---- Restoring


def restores_what_was_saved(api):
    saver = api.train.Saver()
    path = api.say(saver.save, api.sess, "k/m", global_step=1)
    api.add("v1", 5.0)
    api.add("step", 3)
    api.say(saver.restore, api.sess, path)
    for name in ["v1", "scope/v2", "step"]:
        api.say(api.value, name)


def restores_some_under_other_names(api):
    api.say(api.train.Saver({"x": api.vars["v1"]}).save, api.sess, "k/m")
    api.add("v1", 5.0)
    api.add("step", 3)
    api.say(api.train.Saver({"x": api.vars["v1"]}).restore, api.sess, "k/m")
    api.say(api.value, "v1")
    api.say(api.value, "step")


def cannot_restore(api):
    saver = api.train.Saver()
    api.say(saver.restore, api.sess, None)
    os.makedirs("k")
    api.say(saver.restore, api.sess, "k/m")
    api.say(api.train.Saver({"other": api.vars["v1"]}).save, api.sess, "k/m")
    api.say(saver.restore, api.sess, "k/m")


def reshapes(api):
    api.say(api.train.Saver({"scope/v2": api.vars["scope/v2"]}).save, api.sess, "k/m")
    api.variables({"scope/v2": np.zeros((3, 2), np.int64)})
    api.say(api.train.Saver(reshape=True).restore, api.sess, "k/m")
    api.say(api.value, "scope/v2")


# ---- The functions of the state file


def state_by_hand(api):
    os.makedirs("k")
    update = api.train.update_checkpoint_state
    api.say(update, "k", "k/b", ["k/a", "k/b"])
    api.state("k")
    api.say(update, "k", "k/c", ["k/a", "k/b"])
    api.state("k")
    api.say(update, "k", "/abs/d", ["/abs/c"], "latest", [1.5, 2.25], 0.125)
    api.state("k", "latest")
    api.say(update, "k", "k/d", ["k/d"], None, [1.0, 2.0])
    api.say(update, os.getcwd(), os.path.join(os.getcwd(), "checkpoint"))
    api.say(update, os.path.join(os.getcwd(), "k"), "e")


def state_of_nothing(api):
    os.makedirs("k")
    api.state("k")
    api.say(api.train.latest_checkpoint, "k")
    api.say(api.train.latest_checkpoint, "missing")
    api.say(api.train.checkpoint_exists, "k/m")
    api.say(api.train.get_checkpoint_mtimes, ["k/m"])
    api.say(api.train.remove_checkpoint, "k/m")
    api.say(api.train.load_checkpoint, "k")


def state_without_its_checkpoint(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 2])
    api.say(api.train.remove_checkpoint, "k/m-2")
    api.say(api.train.latest_checkpoint, "k")
    api.say(api.train.load_checkpoint, "k")
    api.say(api.train.checkpoint_exists, "k/m-1")
    api.say(api.train.checkpoint_exists, "k/m-2")
    api.state("k")


def removes_files(api):
    saver = api.train.Saver()
    api.save_steps(saver, "k/m", [1, 11, 2])
    api.say(api.train.remove_checkpoint, "k/m-1")
    api.say(api.train.remove_checkpoint, "k/m-2", 1)
    api.say(api.train.remove_checkpoint, "k/m-11", meta_graph_suffix="graph")


def times_of_files(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 2])
    os.utime("k/m-1.index", (5, 1234.75))
    os.utime("k/m-2.index", (5, 99.0))
    api.say(api.train.get_checkpoint_mtimes, ["k/m-2", "k/none", "k/m-1"])


def what_readers_say(api):
    api.say(api.train.Saver().save, api.sess, "k/m", global_step=3)
    reader = api.train.NewCheckpointReader("k/m-3")
    api.say(lambda: sorted(reader.get_variable_to_shape_map().items()))
    api.say(lambda: [reader.has_tensor(name) for name in ["v1", "v3", "", "step"]])
    api.say(reader.get_tensor, "scope/v2")
    api.say(reader.get_tensor, "step")
    api.say(reader.debug_string)
    api.say(api.train.list_variables, "k")
    api.say(api.train.load_variable, "k", "v1")
    api.say(api.train.load_variable, "k/m-3", "v1:0")


def waiting_for_checkpoints(api):
    api.say(lambda: list(api.train.checkpoints_iterator("k", timeout=0)))
    api.say(api.train.Saver().save, api.sess, "k/m", global_step=3)
    api.say(lambda: list(api.train.checkpoints_iterator("k", timeout=0)))


SCENARIOS = [
    function
    for name, function in list(globals().items())
    if callable(function)
    and getattr(function, "__module__", None) == __name__
    and not isinstance(function, type)
]


def run(make_api, scenario, folder):
    """Run a scenario in an empty folder; return its log and what it left."""
    os.makedirs(folder)
    before, clock = os.getcwd(), time.time
    os.chdir(folder)
    try:
        api = make_api()
        time.time = lambda: api.now
        scenario(api)
        if hasattr(api, "close"):
            api.close()
        return {"log": json.loads(json.dumps(api.log)), "files": list_files()}
    finally:
        time.time = clock
        os.chdir(before)


def list_files():
    """What every file below this folder is."""
    found = {}
    for folder, _, names in sorted(os.walk(".")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                data = file.read()
            found[path[2:]] = describe(name, data)
    return found


def describe(name, data):
    if data.startswith(b"model_checkpoint_path"):
        return data.decode("latin-1").replace(os.getcwd(), HERE)
    if name.endswith((".meta", ".graph", ".graph.pb")):
        return "a graph"
    return hashlib.sha256(data).hexdigest()[:20]


def main(folder):
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.FATAL)
    results = {}
    for scenario in SCENARIOS:
        name = scenario.__name__
        results[name] = run(lambda: Theirs(tf), scenario, os.path.join(folder, name))
    results["version"] = tf.__version__
    json.dump(results, sys.stdout, indent=1, sort_keys=True)


def unescape(result):
    """A result with state files as newer versions of protobuf write them: UTF-8 as it is."""

    def to_char(match):
        return chr(int(match[1], 8))

    files = {
        name: re.sub(r"\\([23][0-7]{2})", to_char, text) if text.startswith("model_") else text
        for name, text in result["files"].items()
    }
    return {**result, "files": files}


if __name__ == "__main__":
    main(sys.argv[1])
