"""The command line: what it prints, what it returns, and what it never does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fresh import run

import fastckpt
from fastckpt.cli import main as cli
from fastckpt.cli import verbs as cli_verbs
from fastckpt.cli.output import to_json
from fastckpt.text import printable, spell_size

TENSORS = {
    "model/kernel": np.arange(600, dtype=np.float32).reshape(20, 30),
    "model/kernel/Adam": np.full((20, 30), 0.5, np.float32),
    "model/bias": np.array([1.0, np.nan, -np.inf], np.float32),
    "step": np.int64(7),
    "text": np.array([b"one", b"", b"\x1b[31mred"], object),
}
HOSTILE = "evil\x1b]0;owned\x07\n\u202egnp"
WRITING = {  # what a verb needs besides a source and a destination
    "rename": ["--add-prefix", "x/"],
    "subset": ["--exclude", "text"],
    "alias": ["also=step"],
    "merge": [],
    "align": [],
    "reshard": ["2"],
    "average": [],
    "cast": ["bfloat16"],
    "convert": ["--format", "checkpoint"],
}


@pytest.fixture
def source(tmp_path):
    prefix = tmp_path / "run" / "model.ckpt-7"
    fastckpt.write(prefix, TENSORS, sync=False)
    return str(prefix)


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out.ckpt")


@pytest.fixture
def call(capfd):
    """Run a command; return its exit status, standard output and standard error."""

    def run_command(*arguments):
        capfd.readouterr()
        status = cli.main(list(map(str, arguments)))
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run_command


def call_json(call, *arguments, status=0):
    found, out, err = call(*arguments, "--json")
    assert (found, err) == (status, "")
    return json.loads(out, parse_constant=pytest.fail)


# ---- Mistakes


def test_without_a_verb_it_prints_what_there_is_and_fails(call):
    status, out, _ = call()

    assert status == 2
    assert all(f"\n  {verb} " in out for verb in cli_verbs.list_verbs())


@pytest.mark.parametrize(
    ("typed", "meant"), [("lls", "ls"), ("renmae", "rename"), ("docter", "doctor")]
)
def test_verb_that_is_not_there_names_the_closest(call, typed, meant):
    status, out, err = call(typed, "x")

    assert (status, out) == (2, "")
    assert f"did you mean '{meant}'" in err


def test_path_in_place_of_a_verb_is_told_to_be_one(call, source):
    status, _, err = call(source)

    assert status == 2
    assert f"fastckpt ls {source}" in err


def test_option_that_is_not_there_names_the_closest(call, source):
    status, _, err = call("ls", source, "--sotr", "size")

    assert status == 2
    assert "did you mean '--sort'" in err


def test_tensor_that_is_not_there_names_the_closest(call, source):
    status, _, err = call("show", source, "model/kernle")

    assert status == 2
    assert "did you mean 'model/kernel'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["rename"],
        ["subset"],
        ["rename", "--map", "nothing"],
        ["rename", "--map", "step="],
        ["rename", "--regex", "(", "x"],
        ["rename", "--map", "nothere=x"],
        ["subset", "--include", "nothing*"],
        ["alias", "x"],
        ["alias", "x=nothere"],
        ["reshard", "0"],
        ["reshard", "two"],
        ["average", "--weights", "1,2"],
        ["average", "--weights", "one"],
        ["average", "--last", "2"],
        ["cast", "nosuchtype"],
        ["cast", "step=int8=x"],
        ["align", "--alignment", "0"],
        ["convert", "--format", "nothing"],
        ["convert"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_a_mistake_and_writes_nothing(call, source, out, arguments):
    verb, *rest = arguments

    status, printed, err = call(verb, source, out, *rest)

    assert (status, printed) == (2, "")
    assert err.startswith("fastckpt")
    assert os.listdir(os.path.dirname(out)) == ["run"]


@pytest.mark.parametrize("verb", WRITING)
def test_checkpoint_that_is_there_is_not_replaced_without_force(call, source, verb):
    before = Path(f"{source}.index").read_bytes()

    status, _, err = call(verb, source, source, *WRITING[verb])

    assert status == 2
    assert "--force" in err
    assert Path(f"{source}.index").read_bytes() == before


@pytest.mark.parametrize("verb", WRITING)
def test_force_replaces_in_place_what_somebody_reads(call, source, verb):
    with fastckpt.read(source) as reader:
        view = reader["model/kernel"]

        status, _, err = call(verb, source, source, *WRITING[verb], "--force")

        np.testing.assert_array_equal(view, TENSORS["model/kernel"])
    assert (status, err) == (0, "")
    fastckpt.read(source).verify()


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda folder: folder / "model.ckpt-8", "model.ckpt-7"),
        (lambda folder: folder.parent / "rnu" / "model.ckpt-7", "there is no such folder"),
        (lambda folder: write(folder / "a.index", b"<!DOCTYPE html><html>"), "browser"),
        (
            lambda folder: write(
                folder / "b.index", b"version https://git-lfs.github.com/spec/v1\n"
            ),
            "git lfs pull",
        ),
        (lambda folder: folder.joinpath("model.ckpt-7.index").rename(folder / "c"), "mv "),
        (
            lambda folder: (
                folder.joinpath("model.ckpt-7.index").rename(folder / "model.ckpt-7.index.txt")
            ),
            "model.ckpt-7.index",
        ),
        (lambda folder: savez(folder / "weights.npz"), "numpy"),
    ],
    ids=["typo", "folder", "html", "lfs", "no_suffix", "txt", "npz"],
)
def test_wrong_path_is_told_what_to_type_instead(call, source, make, advice):
    path = make(Path(source).parent)

    for verb in ("ls", "verify"):
        status, out, err = call(verb, path)

        assert (status, out) == (2, "")
        assert "try: " in err
        assert advice.lower() in err.lower()


def savez(path):
    np.savez(path, a=np.zeros(3))
    return path


def write(path, data):
    path.write_bytes(data)
    return path


def test_missing_data_file_names_it(call, source):
    os.remove(f"{source}.data-00000-of-00001")

    status, _, err = call("show", source, "step")

    assert status == 2
    assert "data-00000-of-00001" in err and "missing" in err


# ---- Looking


def test_ls_aligns_names_dtypes_shapes_and_sizes(call, source):
    status, out, err = call("ls", source)

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "name               dtype      shape     size",
        "model/bias         float32      (3)     12 B",
        "model/kernel       float32  (20,30)  2.3 KiB",
        "model/kernel/Adam  float32  (20,30)  2.3 KiB",
        "step               int64         ()      8 B",
        "text               string       (3)     18 B",
        "5 tensors, 4.7 KiB",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["model/*"], ["model/bias", "model/kernel", "model/kernel/Adam"]),
        (["step", "text"], ["step", "text"]),
        (["--sort", "size", "-r", "s*", "model/k*"], ["step", "model/kernel/Adam", "model/kernel"]),
        (["--sort", "dtype", "step", "model/bias"], ["model/bias", "step"]),
    ],
)
def test_ls_chooses_and_sorts(call, source, options, names):
    found = call_json(call, "ls", source, *options)

    assert [each["name"] for each in found["tensors"]] == names
    assert found["count"] == len(names)
    assert found["nbytes"] == sum(each["nbytes"] for each in found["tensors"])


def test_ls_takes_a_name_with_brackets_for_itself(call, out):
    fastckpt.write(out, {"a[0]": np.zeros(1), "a0": np.zeros(1)}, sync=False)

    found = call_json(call, "ls", out, "a[0]")

    assert [each["name"] for each in found["tensors"]] == ["a0", "a[0]"]


def test_ls_totals_by_dtype_and_prefix(call, source):
    by_dtype = call_json(call, "ls", source, "--by", "dtype")["totals"]
    by_prefix = call_json(call, "ls", source, "--by", "prefix", "--depth", "2")["totals"]

    assert by_dtype[0] == {"dtype": "float32", "tensors": 3, "nbytes": 4812}
    assert by_prefix[0] == {"prefix": "model/kernel", "tensors": 2, "nbytes": 4800}
    assert call("ls", source, "--by", "dtype")[1].splitlines()[-1] == "5 tensors, 4.7 KiB"


def test_ls_of_nothing_that_matches_is_a_mistake(call, source):
    assert call("ls", source, "nothing*")[0] == 2


def test_show_prints_values_and_statistics(call, source):
    status, out, _ = call("show", source, "model/bias")

    assert status == 0
    assert "model/bias: float32 (3), 12 B" in out
    assert "nan" in out and "-inf" in out
    assert "NaN 1  Inf 1  zeros 0  of 3" in out


def test_show_of_a_part_reads_only_that(call, source):
    found = call_json(call, "show", source, "model/kernel[0:2, -1]")

    assert found["values"] == [29.0, 59.0]
    assert found["index"] == "[0:2, -1]"
    assert (found["stats"]["min"], found["stats"]["max"]) == (29.0, 59.0)


@pytest.mark.parametrize("index", ["[x]", "[1:2:3:4]", "[0,0,0]", "[99]", "[]"])
def test_show_of_a_part_that_cannot_be_is_a_mistake(call, source, index):
    assert call("show", source, f"model/kernel{index}")[0] == 2


def test_show_of_many_values_gives_json_none_unless_all_are_asked_for(call, out):
    fastckpt.write(out, {"a": np.arange(5000)}, sync=False)

    some = call_json(call, "show", out, "a")
    everything = call_json(call, "show", out, "a", "--all")

    assert some["values"] is None
    assert everything["values"] == list(range(5000))


@pytest.mark.parametrize("case", ["tf2_dtypes", "tf1_dtypes", "tf1_shapes", "tf1_strings"])
def test_show_takes_every_dtype_of_tensorflow(call, golden, case):
    (index,) = sorted((golden / case).glob("*.index"))[:1]
    tensors = [
        info.name
        for info in fastckpt.list_tensors(index)
        if info.tf_dtype not in ("variant", "resource")
    ]

    statuses = {name: call("show", index, name)[0] for name in tensors}
    documents = [call_json(call, "show", index, name) for name in tensors]

    assert set(statuses.values()) == {0}
    assert [each["name"] for each in documents] == tensors


def test_stats_has_a_row_for_each_tensor(call, source):
    found = call_json(call, "stats", source)["tensors"]
    lines = call("stats", source)[1].splitlines()

    assert [each["name"] for each in found] == sorted(TENSORS)
    assert {each["nans"] for each in found} == {0, 1}
    assert len(lines) == 6


def test_stats_check_tells_nan_by_its_status(call, source):
    assert call("stats", source, "--check")[0] == 1
    assert call("stats", source, "model/kernel", "--check")[0] == 0


def test_tree_has_the_sizes_of_what_is_below(call, source):
    found = call_json(call, "tree", source)
    status, out, _ = call("tree", source)

    assert found["tensors"] == 5
    assert sum(child["nbytes"] for child in found["children"]) == found["nbytes"]
    assert status == 0
    assert "kernel" in out and "KiB" in out


def test_state_says_what_is_missing_and_repairs_it(call, golden, tmp_path):
    folder = tmp_path / "saver"
    folder.mkdir()
    for file in (golden / "tf1_saver").iterdir():
        if "ckpt-50" not in file.name:
            (folder / file.name).write_bytes(file.read_bytes())

    before = call_json(call, "state", folder, status=1)
    after = call_json(call, "state", folder, "--repair")

    assert [os.path.basename(path) for path in before["missing"]] == ["model.ckpt-50"]
    assert after["missing"] == []
    assert len(after["checkpoints"]) == len(before["checkpoints"]) - 1


def test_state_of_a_folder_without_one_is_a_mistake(call, tmp_path):
    assert call("state", tmp_path)[0] == 2


@pytest.mark.parametrize("path", ["tf1_saver", "tf1_saver/model.ckpt-80", "tf2_saved_model/model"])
def test_meta_of_any_path(call, golden, path):
    found = call_json(call, "meta", golden / path, "--nodes")

    assert len(found["nodes"]) == sum(found["ops"].values()) > 0
    assert call("meta", golden / path)[0] == 0
    assert call("meta", golden / path, "--nodes")[0] == 0


def test_objects_are_a_tree_or_none(call, golden, source):
    keras = golden / "tf2_keras3" / "keras"

    found = call_json(call, "objects", keras)

    assert "model/_functional/_operations/2/moving_mean" in found["variables"]
    assert call("objects", keras)[1].startswith("root\n")
    assert "no object graph" in call("objects", source)[1]


# ---- Checking


def test_verify_tells_whole_from_damaged(call, source):
    whole = call("verify", source)
    with open(f"{source}.data-00000-of-00001", "r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    damaged = call("verify", source)

    assert whole[0] == 0
    assert whole[1].startswith("5 tensors, 4.7 KiB: all as written")
    assert damaged[0] == 1
    assert "tensor 'model/kernel'" in damaged[1] and "expected" in damaged[1]


def test_diff_tells_by_its_status(call, source, out):
    fastckpt.write(out, {**TENSORS, "step": np.int64(8)}, sync=False)

    same = call_json(call, "diff", source, source)
    changed = call_json(call, "diff", source, out, status=1)

    assert same["is_same"] is True
    assert [each["name"] for each in changed["changed"]] == ["step"]
    assert call_json(call, "diff", source, out, "--atol", "1")["is_same"] is True


def test_doctor_salvages_what_verifies(call, golden, out):
    broken = golden / "corrupt" / "payload_flip" / "ckpt"

    before = call("doctor", broken, "--verify")
    report = call_json(call, "doctor", broken, "--salvage", out, status=1)

    assert before[0] == 1
    assert sorted(fastckpt.read(out)) == sorted(report["saved"])
    assert call("doctor", out)[0] == 0
    assert call("doctor", broken, "--salvage", out)[0] == 2  # it is there now


def test_doctor_ends_an_interrupted_save(call, source):
    os.rename(f"{source}.index", f"{source}.index.tmp-{'0' * 16}")

    assert call("ls", source)[0] == 2
    assert call("doctor", source)[0] == 1
    assert call("doctor", source, "--complete")[0] == 0
    assert call("ls", source)[0] == 0
    assert "no save was interrupted" in call("doctor", source, "--discard")[1]


# ---- Writing


def test_rename_by_all_rules(call, source, out, tmp_path):
    table = tmp_path / "names.tsv"
    table.write_text("text\tlabels\n")

    dry = call_json(
        call, "rename", source, out, "--map", "step=global_step", "--map-file", table,
        "--regex", "kernel", "weight", "--drop-prefix", "model/", "--add-prefix", "net/",
        "--dry-run",
    )  # fmt: skip
    status, printed, _ = call(
        "rename", source, out, "--map", "step=global_step", "--map-file", table,
        "--regex", "kernel", "weight", "--drop-prefix", "model/", "--add-prefix", "net/",
    )  # fmt: skip

    assert status == 0
    assert printed == f"{out}: 5 tensors, 4.7 KiB\n"
    assert sorted(fastckpt.read(out)) == sorted(dry["renamed"].values())
    assert sorted(fastckpt.read(out)) == [
        "global_step", "labels", "net/bias", "net/weight", "net/weight/Adam",
    ]  # fmt: skip


def test_rename_by_a_json_file(call, source, out, tmp_path):
    table = tmp_path / "names.json"
    table.write_text('{"step": "global_step"}')

    assert call("rename", source, out, "--map-file", table)[0] == 0

    assert "global_step" in fastckpt.read(out)


@pytest.mark.parametrize("text", ['{"step": 1}', "{", "step global_step"])
def test_file_of_names_that_cannot_be_is_a_mistake(call, source, out, tmp_path, text):
    table = tmp_path / "names"
    table.write_text(text)

    assert call("rename", source, out, "--map-file", table)[0] == 2


def test_editing_shares_the_data_unless_told_to_copy(call, source, out, tmp_path):
    copy = str(tmp_path / "copy")

    call("rename", source, out, "--add-prefix", "x/")
    call("rename", source, copy, "--add-prefix", "x/", "--copy")

    data = [f"{prefix}.data-00000-of-00001" for prefix in (source, out, copy)]
    assert os.path.samefile(data[0], data[1])
    assert not os.path.samefile(data[0], data[2])


def test_subset_drops_what_only_an_optimizer_needs(call, source, out):
    assert call("subset", source, out, "--drop-optimizer")[0] == 0

    assert sorted(fastckpt.read(out)) == ["model/bias", "model/kernel", "step", "text"]


def test_subset_includes_and_excludes(call, source, out):
    status, _, _ = call(
        "subset", source, out, "--include", "model/*", "--include", "step", "--exclude", "*/Adam"
    )

    assert status == 0
    assert sorted(fastckpt.read(out)) == ["model/bias", "model/kernel", "step"]


def test_alias_and_merge(call, source, out, tmp_path):
    other, both = str(tmp_path / "other"), str(tmp_path / "both")
    fastckpt.write(other, {"more": np.zeros(2)}, sync=False)

    assert call("alias", source, out, "counter=step")[0] == 0
    assert call("merge", f"{out}.index", other, both)[0] == 0

    merged = fastckpt.read(both)
    assert merged["counter"] == merged["step"] == 7
    assert "more" in merged


def test_average_of_the_last(call, golden, out):
    folder = golden / "tf1_saver"

    assert call("average", folder, out, "--last", "2")[0] == 0
    assert call("average", folder, out, "--last", "99", "--force")[0] == 2

    last, before = (fastckpt.read(folder / f"model.ckpt-{step}")["w"] for step in (80, 70))
    expected = ((last.astype(np.float64) + before) / 2).astype(np.float32)
    np.testing.assert_array_equal(fastckpt.read(out)["w"], expected)


def test_cast_by_glob(call, source, out):
    assert call("cast", source, out, "*/Adam=float16")[0] == 0

    dtypes = {info.name: info.tf_dtype for info in fastckpt.list_tensors(out)}
    assert dtypes["model/kernel/Adam"] == "float16"
    assert dtypes["model/kernel"] == "float32"


def test_reshard_and_align(call, source, out, tmp_path):
    packed = str(tmp_path / "packed")

    assert call("reshard", source, out, "3")[0] == 0
    assert call("align", source, packed, "--alignment", "1")[0] == 0

    assert fastckpt.read(out).num_shards == 3
    assert os.path.getsize(f"{packed}.data-00000-of-00001") == sum(
        info.nbytes for info in fastckpt.list_tensors(packed)
    )


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5", ".zarr"])
def test_convert_there_and_back(call, out, tmp_path, suffix):
    plain = {name: value for name, value in TENSORS.items() if name in ("model/kernel", "step")}
    source, other = str(tmp_path / "plain"), str(tmp_path / f"other{suffix}")
    fastckpt.write(source, plain, sync=False)

    assert call("convert", source, other, "--add-prefix", "x/")[0] == 0
    assert call("convert", source, other)[0] == 2  # it is there
    assert call("convert", other, out, "--drop-prefix", "x/")[0] == 0

    assert fastckpt.diff(source, out).is_same


def test_convert_says_what_a_rule_did_not_find(call, source, tmp_path):
    status, out, _ = call(
        "convert", source, tmp_path / "x.safetensors", "--exclude", "text", "--map", "stpe=x"
    )

    assert status == 1
    assert "no tensor is called 'stpe'" in out


# ---- JSON, terminals, pipes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        (np.float32(0.5), "0.5"),
        (np.arange(2), "[\n  0,\n  1\n]"),
        (b"\xff", '"\\\\xff"'),
        (1 + 2j, "[\n  1.0,\n  2.0\n]"),
        ("\udcff", '"\\udcff"'),
    ],
)
def test_json_holds_what_json_cannot(value, expected):
    assert to_json(value) == expected


def test_names_never_drive_a_terminal(call, out):
    fastckpt.write(out, {HOSTILE: np.zeros(2)}, sync=False)

    for verb in ("ls", "tree", "stats", "verify", "objects"):
        printed = call(verb, out)[1]
        assert printed.replace("\n", "").isprintable(), verb
    assert call_json(call, "ls", out)["tensors"][0]["name"] == HOSTILE
    assert printable(HOSTILE) == "evil\\x1b]0;owned\\x07\\n\\u202egnp"


def test_errors_never_drive_a_terminal(call, source):
    for arguments in (["show", source, HOSTILE], ["ls", HOSTILE], [HOSTILE]):
        err = call(*arguments)[2]
        assert err.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
    ],
)
def test_sizes_are_spelt_as_people_read_them(size, text):
    assert spell_size(size) == text


def command(*arguments, **options):
    line = [sys.executable, "-m", "fastckpt", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, check=False, timeout=60, **options)


def test_reader_that_has_seen_enough_is_no_error(tmp_path):
    prefix = tmp_path / "many"
    fastckpt.write(prefix, {f"tensor/{i}": np.zeros(1) for i in range(20000)}, sync=False)
    shell = f"'{sys.executable}' -m fastckpt ls '{prefix}' | head -n 1"

    done = subprocess.run(shell, shell=True, capture_output=True, check=True, timeout=60)

    assert done.stdout.split()[0] == b"name"
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_output_in_any_encoding(tmp_path, encoding):
    prefix = tmp_path / "names"
    fastckpt.write(prefix, {"größe/模型": np.arange(50.0)}, sync=False)

    done = command("show", prefix, "größe/模型", env={**os.environ, "PYTHONIOENCODING": encoding})

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"min 0" in done.stdout


def test_module_and_version(source):
    assert command("ls", source).returncode == 0
    assert command("--version").stdout.decode().split() == ["fastckpt", fastckpt.__version__]
    assert command("help", "ls").stdout == command("ls", "--help").stdout


IMPORTED = """
    import io, sys
    from contextlib import redirect_stdout
    from fastckpt.cli import main as cli
    with redirect_stdout(io.StringIO()):
        assert cli.main(sys.argv[1:]) == 0
    print(*sys.modules)
"""


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--by", "prefix"], ["ls", "--json"], ["tree"], ["state"]],
    ids=" ".join,
)
def test_verb_that_reads_no_tensor_does_not_import_numpy(golden, arguments):
    modules = set(run(IMPORTED, *arguments, golden / "tf1_saver").split())

    assert "fastckpt.format._table" in modules
    assert not {"numpy", "rich", "fastckpt.cli.edit", "fastckpt.cli.check"} & modules


@pytest.mark.parametrize("arguments", [["verify"], ["objects"], ["stats"]], ids=" ".join)
def test_verb_imports_no_package_that_it_does_not_need(golden, arguments):
    modules = set(run(IMPORTED, *arguments, golden / "tf1_saver").split())

    assert not {"rich", "h5py", "zarr", "pandas", "safetensors", "tensorflow"} & modules


# ---- report


def test_report_writes_a_page_and_does_not_replace_one(call, source, tmp_path):
    page = str(tmp_path / "r.html")

    status, out, _ = call("report", source, page, "--diff", source)

    assert (status, out.split(":")[0]) == (0, page)
    assert b"<!doctype html>" in (tmp_path / "r.html").read_bytes()
    status, _, error = call("report", source, page)
    assert status == 2 and "--force replaces it" in error
    status, out, _ = call("report", source, page, "--force", "--json")
    assert json.loads(out) == {"written": page, "nbytes": (tmp_path / "r.html").stat().st_size}


# ---- Completion


def complete(call, *words):
    return call("completion", "words", "--", *words)[1].split()


def test_completion_of_verbs_options_paths_and_names(call, source, golden):
    assert complete(call, "re") == ["rename", "report", "reshard"]
    assert complete(call, "diff", "--v") == ["--values"]
    assert complete(call, "ls", os.path.join(os.path.dirname(source), "")) == [source] * 1
    assert complete(call, "show", source, "model/k") == ["model/kernel", "model/kernel/Adam"]
    assert complete(call, "completion", "b") == ["bash"]
    assert complete(call, "nothing", "x") == []
    assert complete(call, "show", "nothere", "x") == []


def test_completion_scripts_ask_this_program(call):
    for shell in ("bash", "zsh", "fish"):
        status, out, _ = call("completion", shell)

        assert status == 0
        assert "fastckpt completion words --" in out


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="needs bash")
def test_completion_in_bash(tmp_path, source):
    script = f"""
        fastckpt() {{ '{sys.executable}' -m fastckpt "$@"; }}
        eval "$(fastckpt completion bash)"
        COMP_WORDS=(fastckpt show '{source}' model/b); COMP_CWORD=3
        _fastckpt
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    done = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["model/bias"]
    assert done.stderr == ""
