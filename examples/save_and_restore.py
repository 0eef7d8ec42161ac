"""TensorFlow's guide to saving and restoring, with `fastckpt.train` in the place of `tf.train`.

There is no graph and no session: `sess` is the mapping of names to values. Everything else is the
guide's code: all variables are saved and restored, then a chosen one.
"""

import os
import tempfile

import numpy as np

from fastckpt import train


def save(path: str) -> None:
    # v1 = tf.get_variable("v1", shape=[3], initializer=tf.zeros_initializer), and so on
    sess = {"v1": np.zeros(3, np.float32), "v2": np.zeros(5, np.float32)}
    saver = train.Saver()
    sess["v1"] += 1  # sess.run(inc_v1)
    sess["v2"] -= 1  # sess.run(dec_v2)

    save_path = saver.save(sess, path)

    print(f"Model saved in path: {os.path.basename(save_path)}")


def restore(path: str) -> None:
    sess = {"v1": np.empty(3, np.float32), "v2": np.empty(5, np.float32)}
    saver = train.Saver()

    saver.restore(sess, path)

    print("Model restored.")
    print(f"v1 : {sess['v1']}")
    print(f"v2 : {sess['v2']}")


def restore_some(path: str) -> None:
    v1 = np.zeros(3, np.float32)  # v1.initializer.run()
    v2 = np.empty(5, np.float32)
    saver = train.Saver({"v2": v2})  # a name in the checkpoint, and the variable that it is for

    saver.restore(None, path)

    print("One variable restored.")
    print(f"v1 : {v1}")
    print(f"v2 : {v2}")


def train_and_keep_the_last(folder: str) -> None:
    sess = {"v1": np.zeros(3, np.float32), "global_step": np.zeros((), np.int64)}
    saver = train.Saver(max_to_keep=2)
    for _ in range(4):
        sess["v1"] += 0.5
        sess["global_step"] += 100
        saver.save(sess, os.path.join(folder, "model.ckpt"), global_step=sess["global_step"])

    print("Of four checkpoints, these were kept:", *map(os.path.basename, saver.last_checkpoints))
    latest = train.latest_checkpoint(folder)
    reader = train.NewCheckpointReader(latest)
    for name, shape in sorted(reader.get_variable_to_shape_map().items()):
        print(f"  {name:12} {shape!s:4} {reader.get_tensor(name)}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "guide", "model.ckpt")
        save(path)
        restore(path)
        restore_some(path)
        train_and_keep_the_last(os.path.join(folder, "training"))


if __name__ == "__main__":
    main()
