"""Paths and what they mean, names of files, and `load`."""

import os
import re
import shutil

import pytest
from fresh import run
from read_cases import TENSORS, write_state

import fastckpt
from fastckpt.bundle.names import list_files, shard_path, strip_suffix
from fastckpt.storage.staged import split_staged, staged_path

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def opened(path):
    with fastckpt.read(path) as checkpoint:
        assert list(checkpoint) == sorted(TENSORS)
        return checkpoint.path


# ---- paths that match nothing


@pytest.mark.parametrize("path", [None, 5, ["a"], object()])
def test_path_that_is_none_is_a_type_error(path):
    with pytest.raises(TypeError):
        fastckpt.read(path)
    with pytest.raises(TypeError):
        fastckpt.load(path)


@pytest.mark.parametrize("path", ["a\0b", "\0"])
def test_path_with_a_nul_is_a_value_error(path):
    with pytest.raises(ValueError, match="null"):
        fastckpt.read(path)


@pytest.mark.parametrize("path", [" ", ".index", "checkpoint", "no/such/folder/m"])
def test_path_that_matches_nothing_is_file_not_found(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="looked for"):
        fastckpt.read(tmp_path / path)


@pytest.mark.parametrize(
    "name",
    [
        "model.ckpt-100",
        "model.ckpt",
        "model.ckpt-1000.idx",
        "modle.ckpt-1000",
        "model.ckpt-1001.index",
    ],
)
def test_near_miss_is_named(prefix, name):
    with pytest.raises(FileNotFoundError) as caught:
        fastckpt.read(prefix.with_name(name))

    assert re.search(f"did you mean '{re.escape(str(prefix))}'", str(caught.value))
    assert caught.value.filename == str(prefix.with_name(name))


def test_what_was_looked_for_is_told(tmp_path):
    path = tmp_path / "m"

    message = f"looked for .*{re.escape(repr(f'{path}.index'))}"
    with pytest.raises(FileNotFoundError, match=message):
        fastckpt.read(path)
    with pytest.raises(FileNotFoundError, match=message):
        fastckpt.read(f"{path}.data-00000-of-00001")


def test_near_misses_are_a_few_of_many(tmp_path):
    for i in range(50):
        (tmp_path / f"run-{i:02d}.index").touch()

    with pytest.raises(FileNotFoundError) as caught:
        fastckpt.read(tmp_path / "run-7")

    assert 1 <= str(caught.value).count("/run-") - 2 <= 4


def test_folder_without_a_checkpoint_says_what_it_has(prefix):
    with pytest.raises(FileNotFoundError) as caught:
        fastckpt.read(prefix.parent)

    message = str(caught.value)
    assert "state file" in message and "SavedModel" in message
    assert str(prefix) in message


def test_state_file_that_names_what_is_gone_says_so(prefix):
    write_state(prefix.parent, "model.ckpt-2000")

    for path in (prefix.parent, prefix.parent / "checkpoint"):
        with pytest.raises(FileNotFoundError) as caught:
            fastckpt.read(path)
        assert "model.ckpt-2000.index" in str(caught.value)
        assert str(prefix) in str(caught.value)


def test_data_file_without_an_index_says_that_a_save_was_interrupted(prefix):
    os.unlink(f"{prefix}.index")

    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00002"):
        with pytest.raises(FileNotFoundError, match="interrupted"):
            fastckpt.read(path)


def test_staged_file_alone_says_that_a_save_was_interrupted(tmp_path):
    (tmp_path / "m.index.tmp-0123456789abcdef").touch()

    with pytest.raises(FileNotFoundError, match="interrupted"):
        fastckpt.read(tmp_path / "m")


@pytest.mark.parametrize(
    "text", ["garbage ! x", "unknown: 1", 'model_checkpoint_path: "a', "model_checkpoint_path: 5"]
)
def test_broken_state_file_is_a_format_error(prefix, text):
    (prefix.parent / "checkpoint").write_text(text)

    with pytest.raises(fastckpt.FormatError, match="checkpoint: state file at "):
        fastckpt.read(prefix.parent)


@pytest.mark.parametrize("text", ["", 'model_checkpoint_path: ""\n', "# nothing\n"])
def test_empty_state_file_is_file_not_found(prefix, text):
    (prefix.parent / "checkpoint").write_text(text)

    with pytest.raises(FileNotFoundError, match="looked for"):
        fastckpt.read(prefix.parent)


@pytest.mark.parametrize("latest", ["a\\000b", "\\377", "../" * 50 + "x", "x" * 5000])
def test_state_file_with_an_impossible_path_is_an_error_of_ours_or_the_systems(prefix, latest):
    write_state(prefix.parent, latest)

    with pytest.raises((FileNotFoundError, fastckpt.CheckpointError, OSError)):
        fastckpt.read(prefix.parent)


READ = """
    import sys, fastckpt
    try:
        fastckpt.read(sys.argv[1])
    except OSError as error:
        print(error)
"""


@posix
@pytest.mark.parametrize(
    ("pipe", "path"),
    [("checkpoint", "."), ("checkpoint", "checkpoint"), ("m.index", "m"), ("m.index", "m.index"),
     ("m", "m")],
)  # fmt: skip
def test_pipe_is_an_os_error_and_not_waited_for(tmp_path, pipe, path):
    os.mkfifo(tmp_path / pipe)

    assert pipe in run(READ, tmp_path / path, timeout=10)


@pytest.mark.parametrize("path", ["m", "m.index"])
def test_folder_in_the_place_of_an_index_is_an_os_error(tmp_path, path):
    (tmp_path / "m.index").mkdir()

    with pytest.raises(OSError, match="m.index"):
        fastckpt.read(tmp_path / path)


@pytest.mark.parametrize(
    ("option", "value"),
    [("backend", "file"), ("backend", None), ("mode", "w"), ("mode", "r+"), ("mode", None)],
)
def test_unknown_option_is_refused(prefix, option, value):
    with pytest.raises((TypeError, ValueError), match=option if value else "."):
        fastckpt.read(prefix, **{option: value})


def test_options_are_by_keyword_only(prefix):
    with pytest.raises(TypeError):
        fastckpt.read(prefix, True)
    with pytest.raises(TypeError):
        fastckpt.load(prefix, None, 2)


# ---- paths that do


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("v1_plain/model.ckpt-2", "v1_plain/model.ckpt-2"),
        ("v1_plain/model.ckpt-3.meta", "v1_plain/model.ckpt-3"),
        ("v1_plain", "v1_plain/model.ckpt-3"),
        ("v1_plain/checkpoint", "v1_plain/model.ckpt-3"),
        ("v1_sharded/model.ckpt-5-?????-of-00003", "v1_sharded/model.ckpt-5-?????-of-00003"),
        ("v1_sharded/model.ckpt-5-00001-of-00003", "v1_sharded/model.ckpt-5-?????-of-00003"),
        ("v1_sharded/model.ckpt-5.meta", "v1_sharded/model.ckpt-5-?????-of-00003"),
        ("v1_sharded/model.ckpt-5", "v1_sharded/model.ckpt-5-?????-of-00003"),
        ("v1_sharded", "v1_sharded/model.ckpt-5-?????-of-00003"),
    ],
)
def test_path_of_a_v1_checkpoint(golden, path, opened):
    with fastckpt.read(golden / path) as checkpoint:
        assert checkpoint.format == "V1"
        assert checkpoint.path == str(golden / opened)
        assert len(checkpoint.keys()) > 0


def test_index_is_not_taken_for_a_v1_checkpoint(prefix, tmp_path):
    os.rename(f"{prefix}.index", tmp_path / "alone")

    with pytest.raises(fastckpt.FormatError, match="meta record: expected the one of a V1 check"):
        fastckpt.read(tmp_path / "alone")


SUFFIXES = ["", ".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("convert", [str, os.fsencode, lambda path: path])
def test_every_file_of_a_checkpoint_opens_it(prefix, suffix, convert):
    path = prefix.with_name(prefix.name + suffix)

    assert opened(convert(path)) == str(prefix)


@pytest.mark.parametrize("suffix", [".meta", ".data-00007-of-00009", ".data-123456-of-1234567"])
def test_name_of_a_file_that_is_gone_opens_it_too(prefix, suffix):
    assert opened(str(prefix).removesuffix(".meta") + suffix) == str(prefix)


@pytest.mark.parametrize("end", ["", "/", "/checkpoint"])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_folder_opens_the_latest_of_its_state_file(prefix, end, is_absolute):
    fastckpt.write(prefix.with_name("model.ckpt-2000"), {"other": 1}, sync=False)
    write_state(prefix.parent, prefix if is_absolute else prefix.name)

    assert opened(f"{prefix.parent}{end}") == str(prefix)


def test_folder_that_was_moved_opens_what_lies_beside_its_state_file(prefix, tmp_path):
    write_state(prefix.parent, prefix)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.copytree(prefix.parent, moved)
    os.unlink(f"{prefix}.index")

    assert opened(moved) == str(moved / prefix.name)


def test_state_file_in_the_text_formats_other_spellings(prefix):
    (prefix.parent / "checkpoint").write_text(
        "# c\nall_model_checkpoint_paths: ['x', \"y\"] model_checkpoint_path: 'model.ckpt' '-1000'"
    )

    assert opened(prefix.parent) == str(prefix)


@pytest.mark.parametrize("marker", ["saved_model.pb", "saved_model.pbtxt"])
@pytest.mark.parametrize("end", ["", "/"])
def test_saved_model_opens_its_variables(tmp_path, marker, end):
    (tmp_path / "variables").mkdir()
    (tmp_path / marker).touch()
    fastckpt.write(tmp_path / "variables" / "variables", TENSORS, sync=False)

    assert opened(f"{tmp_path}{end}") == str(tmp_path / "variables" / "variables")


@pytest.mark.parametrize("model", ["tf1_saved_model/model", "tf2_saved_model/model"])
def test_saved_model_of_tensorflow_is_opened(golden, model):
    with fastckpt.read(golden / model) as checkpoint:
        assert checkpoint.path == str(golden / model / "variables" / "variables")
        assert len(checkpoint) > 0


@pytest.mark.parametrize("name", ["m.index", "m.meta", "m.data-00000-of-00001", "checkpoint"])
def test_exact_prefix_wins(tmp_path, name):
    fastckpt.write(tmp_path / "m", {"other": 1}, sync=False)
    fastckpt.write(tmp_path / name, TENSORS, sync=False)
    if name == "checkpoint":
        write_state(tmp_path, "m")

    assert opened(tmp_path / name) == str(tmp_path / name)


def test_exact_prefix_wins_over_a_folder_of_its_name(tmp_path):
    (tmp_path / "m").mkdir()
    fastckpt.write(tmp_path / "m" / "x", {"other": 1}, sync=False)
    write_state(tmp_path / "m", "x")
    fastckpt.write(tmp_path / "m", TENSORS, sync=False)

    assert opened(tmp_path / "m") == str(tmp_path / "m")


def test_prefix_without_a_last_part_is_opened(tmp_path):
    fastckpt.write(f"{tmp_path}/", TENSORS, sync=False)

    assert opened(f"{tmp_path}/") == f"{tmp_path}/"


def test_prefix_with_pattern_characters_is_taken_as_it_is(tmp_path):
    fastckpt.write(tmp_path / "we[ird]*?", TENSORS, sync=False)

    assert opened(tmp_path / "we[ird]*?") == str(tmp_path / "we[ird]*?")


@posix
def test_path_that_is_not_utf8_is_opened(tmp_path):
    path = os.fsencode(tmp_path) + b"/m\xff"
    try:
        fastckpt.write(path, TENSORS, sync=False)
    except OSError:
        pytest.skip("a file system of UTF-8 names")

    assert opened(path) == os.fsdecode(path)


@posix
def test_symbolic_links_are_followed(prefix, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    for path in prefix.parent.glob("model*"):
        (folder / path.name).symlink_to(path)
    (tmp_path / "link").symlink_to(folder)

    assert opened(folder / prefix.name) == str(folder / prefix.name)
    assert opened(tmp_path / "link" / prefix.name) == str(tmp_path / "link" / prefix.name)


# ---- names of files


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("m", None),
        ("m.indexx", None),
        ("m.data-0-of-1", None),
        ("m.data-00000-of-0001", None),
        ("m.data-00000-of-00001.tmp", None),
        ("m.data-00000-of-00001x", None),
        ("m.data-0000x-of-00001", None),
        ("m.index", "m"),
        ("m.meta", "m"),
        (".index", ""),
        ("m.index.index", "m.index"),
        ("a/b.data-00000-of-00001", "a/b"),
        ("m.data-123456-of-1234567", "m"),
        ("m.data-00000-of-00001.data-00001-of-00002", "m.data-00000-of-00001"),
        ("a\nb.data-00000-of-00001", "a\nb"),
    ],
)
def test_suffix_is_taken_off_where_there_is_one(path, prefix):
    assert strip_suffix(path) == prefix


@pytest.mark.parametrize(
    ("shard", "count", "name"),
    [(0, 1, "m.data-00000-of-00001"), (123456, 1234567, "m.data-123456-of-1234567")],
)
def test_name_of_a_shard_gets_wider(shard, count, name):
    assert shard_path("m", shard, count) == name
    assert strip_suffix(name) == "m"


@pytest.mark.parametrize(
    "path", ["m.index", "m.tmp-0", "m.tmp-0123456789ABCDEF", "m.tmp-0123456789abcdef0", "m.tmp-"]
)
def test_other_names_are_not_those_of_staged_files(path):
    assert split_staged(path) is None


def test_name_of_a_staged_file_is_taken_apart():
    assert split_staged(staged_path("a/m.index", "0123456789abcdef")) == (
        "a/m.index",
        "0123456789abcdef",
    )


def test_files_of_a_prefix_are_listed_and_no_others(tmp_path):
    mine = ["m.data-00000-of-00001", "m.data-00001-of-00003"]
    staged = ["m.data-00000-of-00001.tmp-0123456789abcdef", "m.index.old-0123456789abcdef"]
    others = ["m.index", "m.meta", "m", "m2.index", "m.x", "m.x.data-00000-of-00001", "xm.index",
              "m.x.tmp-0123456789abcdef", "m.index.tmp-0"]  # fmt: skip
    for name in [*mine, *staged, *others]:
        (tmp_path / name).touch()

    shards, found = list_files(str(tmp_path / "m"))

    assert shards == [str(tmp_path / name) for name in mine]
    assert found == [str(tmp_path / name) for name in staged]


def test_missing_folder_has_no_files(tmp_path):
    assert list_files(str(tmp_path / "none" / "m")) == ([], [])


# ---- list_tensors


@pytest.mark.parametrize("verb", [fastckpt.read, fastckpt.list_tensors])
def test_listing_what_is_not_there_names_near_misses(golden, verb):
    with pytest.raises(FileNotFoundError, match=r"did you mean .*model\.ckpt-80"):
        verb(golden / "tf1_saver" / "model.ckpt-8")


def test_listing_gives_what_infos_gives_for_every_path(golden):
    paths = [
        *golden.rglob("*.index"),
        *golden.rglob("*.data-00000-of-*"),
        *golden.rglob("checkpoint"),
        *(path.parent for path in golden.rglob("saved_model.pb")),
        *golden.glob("v1_*/*"),
    ]

    verbs = (list_infos, fastckpt.list_tensors)
    found = {path: [outcome(verb, path) for verb in verbs] for path in paths}
    differing = [path for path, (one, other) in found.items() if one != other]

    assert len(paths) > 100
    assert differing == []


def list_infos(path):
    with fastckpt.read(path) as checkpoint:
        return checkpoint.infos()


def outcome(function, path):
    try:
        return function(path)
    except (fastckpt.CheckpointError, OSError) as error:
        return type(error), str(error)


def test_missing_tensor_names_near_misses_when_the_checkpoint_is_closed(prefix):
    with fastckpt.read(prefix) as checkpoint, pytest.raises(KeyError) as caught:
        checkpoint[next(iter(checkpoint)) + "x"]

    assert "did you mean" in str(caught.value)
