"""Further scenarios of saving, in the manner of saver_steps.py: odd paths, clocks and variables.

As a program this file runs them under the TensorFlow of its interpreter, and prints what happened:

    python saver_scenarios.py FOLDER

Left out, since TensorFlow does there what nobody can want, or not the same from 1.15 to 2.21:
a prefix with pattern characters is a pattern when it is looked for or deleted, so `st*r` deletes
its neighbours; one file under two spellings (`k/m-1`, `./k/m-1`) is deleted as the older of two
just after it was saved; errors in the middle of writing leave temporary files; looking for files
in a folder that is missing is an error in 1.15; lists of paths are changed under their owner.
"""

import json
import os
import sys
import time

import numpy as np
import saver_steps
from saver_steps import HOUR, START, Ours, Theirs


def kind(api, call, *arguments, **options):
    """Log what a call returns, or the kind of its error where the wording is each side's own."""
    try:
        api.log.append(api.spell(call(*arguments, **options)))
    except Exception as error:
        name = api.kind_of(error).strip()
        is_value = name == "damaged" and isinstance(error, ValueError)
        api.log.append(["ValueError" if is_value else name])


def listed(api, names):
    """Variables for a `var_list` that is a list: here arrays have no names, but names do."""
    return list(names) if isinstance(api, Ours) else [api.vars[name] for name in names]


def put(path, text):
    with open(path, "wb") as file:
        file.write(text)


def lists_of_state(api, folder, *more):
    """Log the paths and timestamps of a state file."""
    state = api.train.get_checkpoint_state(folder, *more)
    times = list(state.all_model_checkpoint_timestamps)
    api.state(folder, *more)
    api.log.append([repr(each) for each in [*times, state.last_preserved_timestamp]])


def backdate(folder):
    """Give the files of a folder the time of the scenario's clock, so that they are old enough."""
    for name in os.listdir(folder):
        os.utime(os.path.join(folder, name), (START, START))


# ---- Retention


def keeps_less_than_none(api):
    api.save_steps(api.train.Saver(max_to_keep=-1), "k/m", range(3))


def keeps_for_fractions_of_hours(api):
    for i, hours in enumerate([0.25, 0.1, 1.0 / 3, 1e-9, 2.5]):
        saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=hours)
        api.save_steps(saver, f"k{i}/m", range(12), seconds=7.0 * 60)


def keeps_at_the_very_second(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1)
    api.save_steps(saver, "k/m", range(6), seconds=HOUR / 2)
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=0.1)
    api.save_steps(saver, "j/m", range(6), seconds=360.0)


def keeps_with_endless_and_negative_hours(api):
    for i, hours in enumerate([float("inf"), -1]):
        saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=hours)
        api.save_steps(saver, f"k{i}/m", range(4), seconds=HOUR)


def counts_hours_from_the_making_of_the_saver(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1)
    api.now += 10 * HOUR
    api.save_steps(saver, "k/m", range(4), seconds=60)


def counts_hours_from_build(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1, defer_build=True)
    api.now += 10 * HOUR
    saver.build()
    saver.build()
    api.save_steps(saver, "k/m", range(4), seconds=60)


def clock_goes_backwards(api):
    saver = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1)
    api.save_steps(saver, "k/m", range(3), seconds=2 * HOUR)
    api.now -= 20 * HOUR
    api.save_steps(saver, "k/m", range(3, 6), seconds=2 * HOUR)


def files_are_gone_before_they_are_deleted(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", range(3))
    for name in ["m-1.index", "m-2.meta", "m-2.data-00000-of-00001"]:
        os.remove(os.path.join("k", name))
    api.save_steps(saver, "k/m", range(3, 6))


def only_files_of_the_checkpoint_are_deleted(api):
    saver = api.train.Saver(max_to_keep=1)
    api.save_steps(saver, "k/m", [1])
    for name in ["m-1", "m-1.txt", "m-1.data", "m-1.index.bak", "m-1.data-00000-of-00001.bak"]:
        put("k/" + name, b"mine")
    put("k/m-1.data-00007-of-00009", b"left of an older save")
    put("k/m-10.index", b"of another step")
    api.save_steps(saver, "k/m", [2])


def lists_are_copies(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", [1, 2])
    saver.last_checkpoints.append("k/m-9")
    given = [("k/m-1", START), ("k/m-2", START)]
    saver.set_last_checkpoints_with_time(given)
    given.append(("k/m-3", START))
    api.save_steps(saver, "k/m", [3])


def lists_are_replaced(api):
    saver = api.train.Saver(max_to_keep=2)
    api.save_steps(saver, "k/m", [1, 2])
    saver.set_last_checkpoints([])
    api.save_steps(saver, "k/m", [3])
    saver.recover_last_checkpoints([])
    api.save_steps(saver, "k/m", [4])
    saver.recover_last_checkpoints(["k/m-1"])
    saver.recover_last_checkpoints(["k/m-3", "k/m-2"])
    api.save_steps(saver, "k/m", [5, 6, 7])


def list_longer_than_is_kept(api):
    api.save_steps(api.train.Saver(), "k/m", range(5))
    backdate("k")
    saver = api.train.Saver(max_to_keep=2)
    saver.recover_last_checkpoints([f"k/m-{i}" for i in range(5)])
    api.save_steps(saver, "k/m", [5, 6])


def lists_of_other_types(api):
    saver = api.train.Saver()
    kind(api, saver.set_last_checkpoints, ("k/m-1",))
    kind(api, saver.set_last_checkpoints, None)
    kind(api, saver.set_last_checkpoints_with_time, {"k/m-1": START})
    kind(api, saver.set_last_checkpoints_with_time, (("k/m-1", START),))
    api.say(lambda: saver.last_checkpoints)


def recovers_from_the_state_file(api):
    folder = os.path.join(os.getcwd(), "k")
    api.save_steps(api.train.Saver(max_to_keep=3), folder + "/m", range(5))
    backdate("k")
    for i, path in enumerate(["k", folder]):
        saver = api.train.Saver(max_to_keep=3)
        state = api.train.get_checkpoint_state(path)
        saver.recover_last_checkpoints(state.all_model_checkpoint_paths)
        api.save_steps(saver, folder + "/m", [8 + i, 11])


def recovers_a_listed_path_saved_again(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 2, 3])
    backdate("k")
    saver = api.train.Saver(max_to_keep=2)
    saver.recover_last_checkpoints(["k/m-1", "k/m-2"])
    api.add("v1", 1.0)
    api.save_steps(saver, "k/m", [1, 3])


def one_saver_in_several_folders(api):
    saver = api.train.Saver(max_to_keep=2)
    for step, folder in enumerate(["a", "b", "a", os.path.join(os.getcwd(), "c"), "b"]):
        api.save_steps(saver, folder + "/m", [step])
    for folder in "abc":
        api.state(folder)


def relative_paths_of_several_folders(api):
    saver = api.train.Saver(max_to_keep=3, save_relative_paths=True)
    here = os.getcwd()
    for step, folder in enumerate([here + "/a", here + "/b", "a", here + "/b"]):
        api.save_steps(saver, folder + "/m", [step])
    api.state("a")
    api.state("b")
    api.state(here + "/b")


def current_folder_changes_between_saves(api):
    here = os.getcwd()
    saver = api.train.Saver(max_to_keep=1)
    api.save_steps(saver, "k/m", [1])
    os.makedirs("sub/k")
    os.chdir("sub")
    saver.save(api.sess, "k/m", global_step=2)
    os.chdir(here)
    api.save_steps(saver, "k/m", [3])


# ---- Paths


def spellings_of_a_path(api):
    os.makedirs("k/j")
    for path in ["k//m", "./k/m", "k/./m", "k/../k/m", "k/j/../m", "k/.m", "k/m.", "k/m..x"]:
        saver = api.train.Saver()
        api.say(saver.save, api.sess, path, global_step=1)
        api.say(lambda saver=saver: saver.last_checkpoints)
        api.state("k")
        api.say(api.train.latest_checkpoint, "k")


def folders_that_are_made_by_odd_paths(api):
    for path in ["new/", "other//m", "third///m", "./fourth/m"]:
        api.say(api.train.Saver().save, api.sess, path, global_step=1)


def names_like_those_of_files(api):
    saver = api.train.Saver(max_to_keep=1)
    for name in ["m.index", "m.meta", "m.data-00000-of-00001", "m.ckpt", "100%", "%s-%d", "a b"]:
        api.say(saver.save, api.sess, "k/" + name)
    api.say(saver.save, api.sess, "k/last", global_step=0)


def names_of_patterns(api):
    for name in ["we[ird]", "q?m", "st*r", "[", "a]b"]:
        api.say(api.train.Saver().save, api.sess, "k/" + name, global_step=1)
        api.state("k")


def names_like_those_of_shards(api):
    names = "run-3-of-5 run-?-of-5 run-x-of-5 run-3-of-5x -1-of-1 a-1-of-2-3-of-4"
    for name in names.split():
        api.say(api.train.Saver().save, api.sess, "k/" + name)
    api.save_steps(api.train.Saver(), "k/of-3-of-5", [3])


def links_to_folders(api):
    os.makedirs("real")
    os.symlink("real", "link")
    api.save_steps(api.train.Saver(max_to_keep=1), "link/m", [1, 2])
    api.save_steps(api.train.Saver(max_to_keep=1), os.path.join(os.getcwd(), "link/n"), [1, 2])
    api.state("real")
    api.state("link")


def paths_of_other_types(api):
    saver = api.train.Saver()
    kind(api, saver.save, api.sess, 5)
    kind(api, saver.save, api.sess, None)
    kind(api, saver.restore, api.sess, 5)


def steps_of_other_types(api):
    saver = api.train.Saver()
    for step in [1.5, [], "nothing:0", {}]:
        kind(api, saver.save, api.sess, "k/m", global_step=step)
    api.say(saver.save, api.sess, "k/m", global_step=10**12)
    api.say(saver.save, api.sess, "k/m", global_step=np.uint8(200))


def long_steps_are_padded(api):
    saver = api.train.Saver(pad_step_number=True, max_to_keep=2)
    api.save_steps(saver, "k/m", [np.int64(5), 99999999, 100000000])
    api.say(saver.save, api.sess, "k/plain")


def names_of_state_files(api):
    saver = api.train.Saver()
    for name in ["./latest", "latest/", "/latest", os.path.join(os.getcwd(), "latest")]:
        api.say(saver.save, api.sess, "k/m", latest_filename=name)
    for name in ["it's", "m.index.txt", "\u00e9", ".hidden"]:
        api.say(saver.save, api.sess, "k/m", global_step=1, latest_filename=name)
        api.state("k", name)


def broken_state_file_is_replaced(api):
    os.makedirs("k")
    put("k/checkpoint", b'model_checkpoint_path: "\\')
    api.save_steps(api.train.Saver(), "k/m", [1])
    api.state("k")


def folder_in_the_place_of_the_state_file(api):
    os.makedirs("k/checkpoint")
    kind(api, api.train.Saver().save, api.sess, "k/m", global_step=1)


def other_format_under_the_same_name(api):
    os.makedirs("k")
    api.save_steps(api.train.Saver(), "k/m", [1])
    api.save_steps(api.train.Saver(write_version=1), "k/m", [1])
    api.say(api.train.checkpoint_exists, "k/m-1")
    api.save_steps(api.train.Saver(max_to_keep=1), "k/m", [1, 2])


# ---- Settings


def settings_as_a_message(api):
    saver = api.train.Saver(
        max_to_keep=3, keep_checkpoint_every_n_hours=0.1, write_version=1, name="own"
    )
    first = saver.as_saver_def()
    for each in [first, saver.to_proto(), api.train.Saver.from_proto(first).as_saver_def()]:
        fields = [each.max_to_keep, each.sharded, each.keep_checkpoint_every_n_hours, each.version]
        names = [each.filename_tensor_name, each.save_tensor_name, each.restore_op_name]
        api.log.append([*fields, *names])


def settings_are_used_again(api):
    given = api.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1).as_saver_def()
    saver = api.train.Saver(saver_def=given, max_to_keep=7, keep_checkpoint_every_n_hours=50)
    api.save_steps(saver, "k/m", range(5), seconds=0.4 * HOUR)
    api.save_steps(api.train.Saver.from_proto(given), "j/m", range(3))


def settings_of_v1_are_used_again(api):
    os.makedirs("k")
    given = api.train.Saver(max_to_keep=1, write_version=1, sharded=True).as_saver_def()
    api.save_steps(api.train.Saver(saver_def=given), "k/m", range(3))


def deferred_building(api):
    saver = api.train.Saver(defer_build=True)
    api.say(saver.save, api.sess, "k/m")
    api.say(lambda: saver.last_checkpoints)
    saver.build()
    api.say(saver.save, api.sess, "k/m")
    saver.build()
    api.say(saver.restore, api.sess, "k/m")


def name_and_filename_and_order_of_restoring(api):
    saver = api.train.Saver(name="own", filename="elsewhere", restore_sequentially=True)
    path = api.say(saver.save, api.sess, "k/m", global_step=1)
    api.add("v1", 2.0)
    api.say(saver.restore, api.sess, path)
    api.say(api.value, "v1")


def nothing_to_save_in_every_way(api):
    api.variables({})
    api.say(api.train.Saver, {})
    api.say(api.train.Saver, [])
    for options in [{}, {"max_to_keep": 1}, {"sharded": True}, {"write_version": 1}]:
        saver = api.train.Saver(allow_empty=True, **options)
        api.say(saver.save, api.sess, "m", global_step=1)
        api.say(saver.restore, api.sess, None)
        api.say(lambda saver=saver: saver.last_checkpoints)


def empty_list_of_variables(api):
    saver = api.train.Saver({}, allow_empty=True)
    api.say(saver.save, api.sess, "k/m", write_meta_graph=False)
    api.say(saver.restore, api.sess, "k/m")


# ---- Variables


def lists_of_variables(api):
    for i, names in enumerate([["v1", "step"], ["scope/v2"], ["step", "scope/v2", "v1"]]):
        given = listed(api, names)
        api.say(api.train.Saver(given).save, api.sess, f"k/list-{i}")
        api.say(api.train.Saver(tuple(given)).save, api.sess, f"k/tuple-{i}")
        api.say(api.train.list_variables, f"k/list-{i}")


def variable_listed_twice(api):
    kind(api, lambda: api.train.Saver(listed(api, ["v1", "v1"])).save(api.sess, "k/m"))


def variables_that_are_none(api):
    for given in [5, 1.5, object(), {5: api.vars["v1"]}]:
        kind(api, lambda given=given: api.train.Saver(given).save(api.sess, "k/m"))


def names_of_tensors(api):
    names = ["a/b", "a_b", "aB", "A", "z", "a:0", " ", "a-"]
    names += ["\u00e9", "\u6a21", "\ue000", "\U0001f40d"]
    values = {f"t{i}": np.full(3, i, np.int16) for i in range(len(names))}
    api.variables(values)
    given = {name: api.vars[f"t{i}"] for i, name in enumerate(names)}
    saver = api.train.Saver(given)
    api.say(saver.save, api.sess, "k/m", write_meta_graph=False)
    api.say(api.train.list_variables, "k/m")
    api.say(api.train.load_variable, "k/m", "\U0001f40d")
    api.say(api.train.load_variable, "k/m", "\u00e9:0")
    kind(api, api.train.load_variable, "k/m", "a:0")
    api.say(api.train.NewCheckpointReader("k/m").get_tensor, "a:0")
    api.add("t3", 5)
    api.say(saver.restore, api.sess, "k/m")
    api.say(api.value, "t3")


def many_variables(api):
    api.variables({f"w{i:03d}": np.full(i % 7, i, np.float32) for i in range(300)})
    api.say(api.train.Saver().save, api.sess, "k/m", write_meta_graph=False)
    api.say(lambda: len(api.train.list_variables("k/m")))


def values_of_many_kinds_in_v1(api):
    os.makedirs("k")
    api.variables(
        {
            "f16": np.array([1.5, -2], np.float16),
            "f64": np.array(2.5),
            "b": np.array([True, False]),
            "c": np.array([1 + 2j], np.complex64),
            "i8": np.array([-1], np.int8),
            "u16": np.array([65535], np.uint16),
            "i64": np.array([-(2**62), 3], np.int64),
            "text": np.array([b"a", b"", b"long" * 50], object),
            "empty": np.zeros((0, 3), np.float32),
            "cube": np.arange(24.0).reshape(2, 3, 4),
        }
    )
    saver = api.train.Saver(write_version=1)
    api.say(saver.save, api.sess, "k/m")
    reader = api.train.NewCheckpointReader("k/m")
    api.say(lambda: sorted(reader.debug_string().split(b"\n")))
    api.say(lambda: sorted(reader.get_variable_to_shape_map().items()))
    for name in ["f64", "i8", "i64", "text", "empty", "cube"]:  # 1.15 reads no others from V1
        api.say(reader.get_tensor, name)


# ---- V1


def v1_with_the_other_settings(api):
    here = os.getcwd()
    for folder in "abc":
        os.makedirs(folder)
    saver = api.train.Saver(
        write_version=1, max_to_keep=1, keep_checkpoint_every_n_hours=1, pad_step_number=True
    )
    api.save_steps(saver, "a/m", range(5), seconds=0.4 * HOUR)
    saver = api.train.Saver(write_version=1, sharded=True, save_relative_paths=True)
    api.save_steps(saver, here + "/b/m", [1, 2])
    saver = api.train.Saver(write_version=1, sharded=True)
    api.save_steps(saver, here + "/c/m", [1, 2], latest_filename="latest")
    for folder in "ab":
        api.state(folder)
        api.say(api.train.latest_checkpoint, folder)
    api.say(api.train.latest_checkpoint, here + "/c", "latest")


def v1_is_recovered(api):
    os.makedirs("k")
    for sharded in [False, True]:
        name = "k/%s" % ("many" if sharded else "one")
        saver = api.train.Saver(write_version=1, sharded=sharded)
        paths = [saver.save(api.sess, name, global_step=i) for i in range(4)]
        backdate("k")
        api.say(api.train.get_checkpoint_mtimes, ["k/none", *paths])
        saver = api.train.Saver(write_version=1, sharded=sharded, max_to_keep=2)
        saver.recover_last_checkpoints([paths[0], "k/none", paths[2]])
        api.save_steps(saver, name, [4, 5])


def v1_is_removed(api):
    os.makedirs("k")
    for sharded in [False, True]:
        saver = api.train.Saver(write_version=1, sharded=sharded)
        paths = [saver.save(api.sess, f"k/m{int(sharded)}", global_step=i) for i in [1, 11, 2]]
        api.say(api.train.remove_checkpoint, paths[0], 1)
        api.say(api.train.remove_checkpoint, paths[1], 2)
        api.say(api.train.checkpoint_exists, paths[0])
        api.say(api.train.checkpoint_exists, paths[1])


def v1_without_a_state_and_over_itself(api):
    os.makedirs("k")
    saver = api.train.Saver(write_version=1, max_to_keep=1)
    for _ in range(2):
        api.add("v1", 1.0)
        api.say(saver.save, api.sess, "k/m", write_state=False)
    api.say(saver.save, api.sess, "k/m")
    api.say(saver.save, api.sess, "k/n", write_meta_graph=False)
    api.say(api.train.load_variable, "k", "v1")
    api.say(api.train.load_variable, "k/n", "v1")
    api.say(api.train.list_variables, "k/n")


def v1_in_shards_is_restored(api):
    os.makedirs("k")
    saver = api.train.Saver(write_version=1, sharded=True)
    path = api.say(saver.save, api.sess, "k/m", global_step=1)
    api.add("v1", 1.0)
    api.say(saver.restore, api.sess, path)
    api.say(api.value, "v1")
    api.say(api.train.list_variables, path)
    api.say(api.train.list_variables, "k")
    api.say(api.train.load_variable, path, "scope/v2")


# ---- Restoring


def restores_nothing_that_does_not_fit(api):
    api.say(api.train.Saver({"x": api.vars["v1"]}).save, api.sess, "k/m")
    for value in [np.zeros(3), np.zeros(4, np.float32), np.zeros((3, 1), np.float32)]:
        api.variables({"x": value})
        kind(api, api.train.Saver().restore, api.sess, "k/m")
        api.say(api.value, "x")


def reshapes_only_what_has_as_many_elements(api):
    api.say(api.train.Saver({"x": api.vars["v1"]}).save, api.sess, "k/m")
    for value in [np.zeros(4, np.float32), np.zeros((1, 3, 1), np.float32), np.zeros(3, np.int32)]:
        api.variables({"x": value})
        kind(api, api.train.Saver(reshape=True).restore, api.sess, "k/m")
        api.say(api.value, "x")


def scalar_is_no_vector(api):
    api.variables({"x": np.float32(5)})
    api.say(api.train.Saver().save, api.sess, "k/m")
    for reshape in [False, True]:
        api.variables({"x": np.zeros(1, np.float32)})
        kind(api, api.train.Saver(reshape=reshape).restore, api.sess, "k/m")
        api.say(api.value, "x")


def restores_where_there_is_none(api):
    saver = api.train.Saver()
    os.makedirs("k")
    put("k/checkpoint", b'model_checkpoint_path: "m-1"\n')
    for path in ["", "k/m-1", "m"]:
        api.say(saver.restore, api.sess, path)


def restores_what_was_moved(api):
    saver = api.train.Saver()
    api.save_steps(saver, "k/m", [1, 2])
    os.rename("k", "moved")
    api.add("v1", 3.0)
    path = api.say(api.train.latest_checkpoint, "moved")
    api.say(saver.restore, api.sess, path)
    api.say(api.value, "v1")


def restores_each_of_the_kept(api):
    saver = api.train.Saver(max_to_keep=2)
    for step in range(4):
        api.add("v1", 1.0)
        api.say(saver.save, api.sess, "k/m", global_step=step)
    for step in [3, 2, 1, 3]:
        api.say(saver.restore, api.sess, f"k/m-{step}")
        api.say(api.value, "v1")


# ---- The functions of the state file


TEXTS = [
    b'model_checkpoint_path: "a"',
    b"model_checkpoint_path: 'a'\n\n\n",
    b'# first\nmodel_checkpoint_path: "a" # second\n',
    b'model_checkpoint_path: "a" "b"\n  \'c\'',
    b'model_checkpoint_path:"a\\x41\\101\\t\\n\\\\\\\'\\"\\a"',
    b'model_checkpoint_path: "a";all_model_checkpoint_paths: "b",all_model_checkpoint_paths: "c"',
    b'all_model_checkpoint_paths: ["b", "c"] model_checkpoint_path: "a"',
    b'model_checkpoint_path: "a"\r\nall_model_checkpoint_paths: "/abs/b"\r\n',
    b'model_checkpoint_path: "a"\nall_model_checkpoint_paths: ""',
    b'model_checkpoint_path: "../up/m"\nall_model_checkpoint_paths: "./m"',
    b'model_checkpoint_path: "a"\nall_model_checkpoint_timestamps: 1\n'
    b"all_model_checkpoint_timestamps: -2.5e3\nlast_preserved_timestamp: 1.5f",
    b'model_checkpoint_path: "a"\nall_model_checkpoint_timestamps: [inf, nan, -inf, 1e400]',
    b'model_checkpoint_path: "\\303\\251\xc3\xa9"',
    b"model_checkpoint_path: 'it\\'s \"x\"'",
]


def texts_of_state_files(api):
    os.makedirs("k")
    for text in TEXTS:
        put("k/checkpoint", text)
        lists_of_state(api, "k")
        lists_of_state(api, os.path.join(os.getcwd(), "k"))


def state_files_without_a_path(api):
    os.makedirs("k")
    for text in [b"", b"\n# nothing\n", b'all_model_checkpoint_paths: "a"']:
        put("k/checkpoint", text)
        kind(api, api.train.get_checkpoint_state, "k")
        kind(api, api.train.latest_checkpoint, "k")
        kind(api, api.train.load_checkpoint, "k")


def times_in_state_files(api):
    times = [0.0, 1, 1e16, 1e-5, 1795395482.9561229, -1.5, 0.1, 1e300, 123456789012345678.0, 5e-324]
    paths = [f"k/m-{i}" for i in range(len(times))]  # copied, since TensorFlow changes the list
    os.makedirs("k")
    for i, last in enumerate([None, 0.0, 1795395481.92, 3]):
        name = f"state-{i}"
        api.say(api.train.update_checkpoint_state, "k", paths[-1], paths[:], name, times, last)
        lists_of_state(api, "k", name)
    api.say(api.train.update_checkpoint_state, "k", "k/a", ["k/a"], "none", [])
    many = [float("inf"), float("nan")]
    api.say(api.train.update_checkpoint_state, "k", "k/b", ["k/a", "k/b"], "odd", many)
    api.say(api.train.update_checkpoint_state, "k", "k/b", ["k/a"], "missing", [1.0])
    api.say(api.train.update_checkpoint_state, "k", "k/b", ["k/a"], "added", [1.0, 2.0])


def paths_in_state_files(api):
    here = os.getcwd()
    os.makedirs("a/b")
    update = api.train.update_checkpoint_state
    folders = ["a/b", "a/b/", "./a/b", "a/../a/b", here + "/a/b"]
    paths = ["a/b/m", "m", "../m", "./a/b/./m", "a/m", here + "/a/b/m", "/abs/m"]
    for i, folder in enumerate(folders):
        for j, path in enumerate(paths):
            name = f"state-{i}-{j}"
            api.say(update, folder, path, ["a/b/first", here + "/x", path], name)
            api.state(folder, name)


def lists_in_state_files(api):
    os.makedirs("k")
    update = api.train.update_checkpoint_state
    for i, paths in enumerate(
        [None, [], ["k/b"], ["k/b", "k/a"], ["k/a", "k/a"], ["k/a", "k/b", "k/a"]]
    ):
        name = f"state-{i}"
        kind(api, update, "k", "k/a", paths, name)
        if os.path.exists("k/" + name):
            api.state("k", name)


def state_file_where_there_is_no_folder(api):
    kind(api, api.train.update_checkpoint_state, "missing", "missing/m")
    put("file", b"")
    kind(api, api.train.update_checkpoint_state, "file", "file/m")
    kind(api, api.train.get_checkpoint_state, "file")
    kind(api, api.train.latest_checkpoint, "file")


def state_file_in_the_current_folder(api):
    api.say(api.train.update_checkpoint_state, "", "m-1", ["m-0", "m-1"])
    api.state("")
    api.state(".")
    api.say(api.train.update_checkpoint_state, ".", "./m-2", ["m-0", "./m-2"])
    api.state(".")
    api.say(api.train.update_checkpoint_state, "", "checkpoint")
    api.say(api.train.update_checkpoint_state, ".", "checkpoint")
    api.state("")


def latest_of_all_kinds_of_folders(api):
    latest = api.train.latest_checkpoint
    api.save_steps(api.train.Saver(), "k/m", [1, 2])
    put("k/file", b"")
    os.makedirs("k/folder")
    for path in ["m-1", "m-3", "file", "folder", "m-?", "m-1.index", "nothing*", os.getcwd()]:
        put("k/checkpoint", b'model_checkpoint_path: "' + path.encode() + b'"\n')
        api.say(latest, "k")
        api.say(latest, "k/")
        api.say(latest, os.path.join(os.getcwd(), "k"))
        api.say(latest, "k", "none")


def existence_of_all_kinds_of_prefixes(api):
    exists = api.train.checkpoint_exists
    os.makedirs("k/folder")
    api.save_steps(api.train.Saver(), "k/m", [1, 22])
    api.save_steps(api.train.Saver(write_version=1), "k/v", [1])
    prefixes = "m m-1 m-1.index m-1.data-00000-of-00001 m-? m-?? m-??? m-[12] v-1 v v* folder none"
    for path in ["k", *("k/" + name for name in prefixes.split())]:
        api.say(exists, path)
        api.say(lambda path=path: len(api.train.get_checkpoint_mtimes([path])))


def times_of_many_files(api):
    os.makedirs("k")
    api.save_steps(api.train.Saver(), "k/m", range(4))
    api.save_steps(api.train.Saver(write_version=1), "k/v", range(2))
    for i, when in enumerate([0.0, 1.999999, 2.0**31, 12345678.5]):
        os.utime(f"k/m-{i}.index", (START, when))
    for i, when in enumerate([100.25, 7.75]):
        os.utime(f"k/v-{i}", (START, when))
    paths = ["k/v-1", "k/m-3", "k/m-0", "k/none", "k/m-1", "k/m-2", "k/v-0", "k/m-1"]
    api.say(api.train.get_checkpoint_mtimes, paths)
    api.say(api.train.get_checkpoint_mtimes, [])


def removes_only_what_is_named(api):
    api.save_steps(api.train.Saver(), "k/m", [1, 11, 2])
    api.say(api.train.Saver().save, api.sess, "k/m")
    put("k/m-1.data-00001-of-00002", b"")
    put("k/m-1.data-1-of-2", b"")
    put("k/m-1.graph", b"")
    for path in ["k/m", "k/m-1", "k/m-9", "k/m-2.index"]:
        api.say(api.train.remove_checkpoint, path)
    api.say(api.train.remove_checkpoint, "k/m-11", checkpoint_format_version=1)
    api.state("k")


def new_checkpoints(api, steps, **options):
    """Log what checkpoints_iterator yields, and when, while `steps` (when, step) are saved."""
    saver = api.train.Saver()
    steps = [(START + when, step) for when, step in steps]

    def sleep(seconds):
        api.now += max(seconds, 0.001)
        while steps and steps[0][0] <= api.now:
            saver.save(api.sess, "k/m", global_step=steps.pop(0)[1], write_meta_graph=False)

    before, time.sleep = time.sleep, sleep
    try:
        for path in api.train.checkpoints_iterator("k", **options):
            api.log.append([api.spell(path), round(api.now - START)])
    finally:
        time.sleep = before
    api.log.append(round(api.now - START))


def waits_until_the_time_is_over(api):
    new_checkpoints(api, [(2.5, 1), (3.5, 2), (9.5, 3), (30.5, 4)], timeout=10)


def waits_between_two_checkpoints(api):
    steps = [(2.5, 1), (3.5, 2), (9.5, 3), (14.5, 3), (40.5, 5)]
    new_checkpoints(api, steps, min_interval_secs=5, timeout=20)


def waits_as_long_as_a_function_says(api):
    asked = []

    def is_over():  # 2.x asks after each checkpoint, too
        asked.append(round(api.now - START))
        return len(asked) > 3

    new_checkpoints(api, [(40.5, 1)], timeout=5, timeout_fn=is_over)
    api.log.append(asked)


def waits_for_nothing(api):
    new_checkpoints(api, [], timeout=0)
    new_checkpoints(api, [], timeout=0.5)
    new_checkpoints(api, [], timeout=1)
    new_checkpoints(api, [(0.5, 1)], timeout=1.5)


# ---- Readers


def types_that_readers_return(api):
    api.variables(
        {
            "vector": np.arange(3, dtype=np.float32),
            "scalar": np.float64(1.5),
            "flag": np.array(True),
            "text": np.array(b"bytes", object),
            "texts": np.array([[b"a"], [b"bc"]], object),
            "none": np.zeros((2, 0), np.int32),
        }
    )
    api.say(api.train.Saver().save, api.sess, "k/m")
    reader = api.train.load_checkpoint("k")
    for name, dtype in sorted(reader.get_variable_to_dtype_map().items()):
        value = reader.get_tensor(name)
        type_name = type(value).__name__.rstrip("_")  # bool_ is bool from NumPy 2 on
        kinds = [name, np.dtype(getattr(dtype, "as_numpy_dtype", dtype)).str, type_name]
        api.log.append([*kinds, getattr(getattr(value, "flags", None), "writeable", None)])
        api.say(lambda value=value: value)
        api.say(api.train.load_variable, "k", name)


def readers_of_what_is_not_there(api):
    os.makedirs("k")
    api.say(api.train.Saver().save, api.sess, "k/m", write_state=False)
    reader = api.train.NewCheckpointReader("k/m")
    kind(api, reader.get_tensor, "none")
    kind(api, reader.get_tensor, "V1")
    kind(api, api.train.load_variable, "k/m", "none")
    kind(api, api.train.load_variable, "k/none", "v1")
    kind(api, api.train.list_variables, "k/none")
    kind(api, api.train.NewCheckpointReader, "k/none")
    api.say(api.train.list_variables, "k")
    api.say(api.train.load_variable, "k/", "v1")


def reader_keeps_what_it_opened(api):
    saver = api.train.Saver()
    api.say(saver.save, api.sess, "k/m")
    reader = api.train.NewCheckpointReader("k/m")
    api.say(reader.get_tensor, "v1")
    api.say(api.train.remove_checkpoint, "k/m")
    api.say(reader.has_tensor, "v1")
    api.say(lambda: sorted(reader.get_variable_to_shape_map().items()))


SCENARIOS = [
    function
    for name, function in list(globals().items())
    if callable(function)
    and getattr(function, "__module__", None) == __name__
    and function.__code__.co_varnames[: function.__code__.co_argcount] == ("api",)
]


def run(make_api, scenario, folder):
    """What saver_steps.run returns, and which folders there are."""
    result = saver_steps.run(make_api, scenario, folder)
    folders = [os.path.relpath(each, folder) for each, _, _ in os.walk(folder)]
    return dict(result, folders=sorted(folders))


def main(folder):
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.FATAL)
    results = {"version": tf.__version__}
    for scenario in SCENARIOS:
        name = scenario.__name__
        results[name] = run(lambda: Theirs(tf), scenario, os.path.join(folder, name))
    json.dump(results, sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main(sys.argv[1])
