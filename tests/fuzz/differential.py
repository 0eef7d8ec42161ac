"""The same broken bundles for fastckpt and TensorFlow: what both accept must be equal.

    python differential.py [--seconds T] [--runs N] [--seed N] [--found FOLDER]

TensorFlow reads in a child process, since some inputs make it abort: that is counted, and the
process started again. Bundles of the corpus are changed by mutators.py, so that checksums are
right most of the time. Where only one of the two accepts, the reason is counted; there are
good ones: TensorFlow does not look at whole blocks, for one. Ends with status 1 if two accepted
values differ; the input is kept.
"""

import argparse
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import oracle
from fuzz.forking_oracle import Reader

HERE = Path(__file__).resolve().parent


def change_bytes(chance):
    """Return a function that makes one to three small changes to any bytes."""

    def change(data):
        changed = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 3])):
            at = chance.randrange(len(changed) + 1)
            way = chance.randrange(5)
            if way == 0:
                changed[at:at] = chance.randbytes(chance.choice([1, 1, 2, 4, 8]))
            elif way == 1:
                del changed[at : at + chance.choice([1, 1, 2, 4, 16])]
            elif at < len(changed):
                other = changed[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0xFF
                changed[at] = other[way - 2]
        return bytes(changed)

    return change


def mutants(inputs, seed):
    """Yield changed bundles without end. Number n depends on the inputs and the seed only."""
    from fuzz.mutators import mutate

    chance = random.Random(seed)
    while True:
        data = chance.choice(inputs)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            data = mutate("bundle", data, change_bytes(chance), chance.randrange(1 << 62))
        yield data


def compare(reader, data, counts):
    """Read one bundle with both, add what came of it to `counts`, and return what differs."""
    from fuzz.inputs import folder, write_bundle

    with folder() as path:
        prefix = write_bundle(path, data)
        ours = read_ours(prefix)
        try:
            theirs = reader.read(prefix)
        except oracle.OracleError as error:
            theirs = "died" if "Died" in error.kind + type(error).__name__ else error
    if isinstance(theirs, dict) and isinstance(ours, dict):
        counts["bundles that both open"] += 1
        return compare_tensors(ours, theirs, counts)
    other = {True: "dies", False: "refuses"}[theirs == "died"]
    other = "opens" if isinstance(theirs, dict) else other
    if isinstance(ours, dict):
        why = f" ({clip(theirs.message)})" if other == "refuses" else ""
        counts[f"bundles: fastckpt opens, TensorFlow {other}{why}"] += 1
    else:
        counts[f"bundles: fastckpt refuses ({classify(ours)}), TensorFlow {other}"] += 1
    return []


def read_ours(prefix):
    """Return {name (bytes): (dtype, shape, payload or error)}, or the error for all of it."""
    import fastckpt

    found = {}
    try:
        with fastckpt.read(prefix) as checkpoint:
            for name in checkpoint:
                try:
                    info = checkpoint.info(name)
                    payload = to_payload(checkpoint, info)
                    found[encode(name)] = info.tf_dtype, info.shape, payload
                except (fastckpt.CheckpointError, OSError) as error:
                    found[encode(name)] = None, None, error
    except (fastckpt.CheckpointError, OSError) as error:
        return error
    return found


def encode(name):
    return name.encode("utf-8", "surrogateescape")


def to_payload(checkpoint, info):
    import fastckpt

    try:
        array = checkpoint.get_tensor(info.name, copy=True)
    except (fastckpt.CheckpointError, OSError) as error:
        return error
    return oracle.to_tensor(array)[2]


def compare_tensors(ours, theirs, counts):
    different = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours:
            counts[f"tensors that only {'fastckpt' if name in ours else 'TensorFlow'} lists"] += 1
            continue
        dtype, shape, payload = ours[name]
        if isinstance(payload, Exception) or isinstance(theirs[name][2], Exception):
            counts[spell(payload, theirs[name][2])] += 1
            continue
        counts["tensors that both read"] += 1
        if (dtype, shape) != theirs[name][:2] or not is_same(dtype, payload, theirs[name][2]):
            different.append((name, ours[name], theirs[name]))
    return different


def spell(ours, theirs):
    if not isinstance(ours, Exception):
        return f"tensors: fastckpt reads, TensorFlow refuses ({clip(theirs.message)})"
    who = "refuses" if isinstance(theirs, Exception) else "reads"
    return f"tensors: fastckpt refuses ({classify(ours)}), TensorFlow {who}"


def is_same(dtype, one, other):
    """Compare payloads; types of a few bits in those bits."""
    mask = oracle.USED_BITS.get(dtype)
    if mask is None or not isinstance(one, bytes):
        return one == other
    return bytes(byte & mask for byte in one) == bytes(byte & mask for byte in other)


def classify(error):
    """The class of an error, and what it says without the names and numbers of one case."""
    return f"{type(error).__name__}: {clip(getattr(error, 'problem', ''))}"


def clip(text):
    return re.sub(r"0x[0-9a-f]+|'[^']*'|/\S+|-?\d+", "..", text)[:48]


def run(reader, inputs, options):
    """Compare until there is no time; return how often, the counts, and the findings."""
    counts, findings = Counter(), []
    end = time.monotonic() + options.seconds
    for runs, data in enumerate(mutants(inputs, options.seed)):
        if runs == options.runs or time.monotonic() > end:
            return runs, counts, findings
        for different in compare(reader, data, counts):
            path = Path(options.found, f"differential-{runs}")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            findings.append(f"{path}: {different}")


def main():
    from fuzz.corpora import read_corpus

    parser = argparse.ArgumentParser(description="compare with TensorFlow on broken bundles")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", default=str(HERE / "found"))
    options = parser.parse_args()
    reader = Reader()
    try:
        inputs = list(read_corpus(HERE / "corpus" / "bundle.zip").values())
        runs, counts, findings = run(reader, inputs, options)
    finally:
        reader.close()
    for what, count in counts.most_common():
        print(f"{count:9,}  {what}")
    print(f"{runs:,} bundles compared, {len(findings)} findings")
    print("\n".join(findings))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
