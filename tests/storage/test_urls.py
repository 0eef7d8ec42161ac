"""Paths as callers pass them."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastckpt.storage.urls import find_scheme, local_folder, local_path

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(names)
def test_path_stays_as_it_is(name):
    assume(find_scheme(name) is None)

    assert local_path(name) == name
    assert local_path(os.fsencode(name)) == name
    assert local_path(Path(name)) == str(Path(name))


@given(names, st.sampled_from(["file://", "FILE://", "file://localhost"]))
def test_file_url_is_the_local_path(name, scheme):
    path = "/" + name

    assert local_path(scheme + quote(path, errors="surrogateescape")) == path
    if "%" not in path:
        assert local_path(scheme + path) == path


def test_bytes_that_are_not_utf8_are_decoded_as_the_system_does():
    assert local_path(b"/a\xff") == os.fsdecode(b"/a\xff")
    assert local_path("file:///a%FF") == os.fsdecode(b"/a\xff")


schemes = st.from_regex(r"[A-Za-z][A-Za-z0-9+.-]{1,8}", fullmatch=True)


@given(schemes.filter(lambda scheme: scheme.lower() != "file"), names)
def test_url_of_another_scheme_is_an_error_that_names_it(scheme, rest):
    url = f"{scheme}://{rest}"

    for door in (local_path, local_folder):
        with pytest.raises(ValueError, match="URLs of the scheme") as caught:
            door(url)
        assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    "path", ["C:\\run\\m", "C:/run/m", "D://m", "a:b", "gs:/m", "://m", "1a://m", "run/gs://m"]
)
def test_drives_and_colons_are_no_schemes(path):
    assert local_path(path) == path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty"),
        (b"", "empty"),
        ("a\0b", "null"),
        ("file:///a%00b", "null"),
        ("file://", "empty"),
        ("file://other/run", "other"),
    ],
)
def test_path_that_no_file_has_is_an_error_that_names_it(path, problem):
    with pytest.raises(ValueError, match=problem):
        local_path(path)


@pytest.mark.parametrize("path", [None, 5, ["m"]])
def test_other_objects_are_type_errors(path):
    for door in (local_path, local_folder):
        with pytest.raises(TypeError):
            door(path)


def test_empty_folder_is_the_current_one():
    assert local_folder("") == local_folder(b"") == ""
    assert local_folder("run/") == "run/"
