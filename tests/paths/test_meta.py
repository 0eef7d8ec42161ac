"""Which graph a path means."""

import re
import shutil

import pytest

from fastckpt import UnsupportedError, read_meta


def test_missing_graph_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked for .*model\.meta' and .*model'"):
        read_meta(tmp_path / "model")


def test_folder_without_a_saved_model_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_meta(tmp_path)

    assert caught.value.filename == str(tmp_path / "saved_model.pb")


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_saved_model_in_another_form_is_unsupported(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(UnsupportedError, match=rf"expected saved_model\.pb, got {name}"):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "tf1_saver/model.ckpt-40",
        "tf1_saver/model.ckpt-40.index",
        "tf1_saver/model.ckpt-40.data-00000-of-00001",
        "tf1_saver/model.ckpt-40.meta",
        "v1_plain/model.ckpt-2",
        "v1_plain/model.ckpt-2-?????-of-00003",
    ],
)
def test_path_means_the_graph_beside_it(golden, path):
    meta = read_meta(golden / path)

    assert meta.path == str(golden / re.match(r".*ckpt-\d+", path)[0]) + ".meta"


def test_saved_model_is_read_from_its_folder(golden, tmp_path):
    folder = golden / "tf1_saved_model" / "model"
    shutil.copy(folder / "saved_model.pb", tmp_path / "renamed.bin")

    meta, renamed = read_meta(folder), read_meta(tmp_path / "renamed.bin")

    assert meta.tags == ("serve",)
    assert list(meta.signatures) == ["serving_default"]
    assert len(meta.nodes) == len(renamed.nodes) == 28


def test_folder_means_the_graph_of_its_latest_checkpoint(golden):
    assert (
        read_meta(golden / "tf1_saver").path == read_meta(golden / "tf1_saver/model.ckpt-80").path
    )


@pytest.mark.parametrize("latest", ["a\\000b", "gone", "gs://bucket/m"])
def test_state_file_that_names_nothing_is_passed_over(tmp_path, latest):
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{latest}"')

    with pytest.raises(FileNotFoundError, match="saved_model"):
        read_meta(tmp_path)
