"""What the documents show is run; what they link is there; what there is, they have."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import (
    AT_THE_ROOT,
    DOCS,
    NOT_RUN,
    PAGES,
    ROOT,
    anchors_of,
    api_of,
    blocks_of,
    commands_of,
    links_of,
    name_of,
    run_page,
)

import fastckpt
from fastckpt import train
from fastckpt.cli.verbs import MODULES, make_parser

RUN = ("python", "console", "tensorflow")
SITE = (ROOT / "mkdocs.yml").read_text("utf-8")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The folder that the tutorial's first block makes, and what README and index begin with."""
    folder = tmp_path_factory.mktemp("example")
    block = next(blocks_of(DOCS / "tutorials" / "inspect.md"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(block.text, block.where, "exec"), {})
        fastckpt.align("run/model.ckpt-1000", "model.ckpt-1000")
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


@pytest.fixture
def workplace(example, tmp_path, monkeypatch):
    """A copy of that folder, to work in."""
    folder = tmp_path / "work"
    shutil.copytree(example, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def by_name(pages):
    return pytest.mark.parametrize("page", pages, ids=map(name_of, pages))


# ---- Examples


@by_name([page for page in PAGES if any(True for _ in blocks_of(page))])
def test_page_shows_what_happens(page, workplace):
    problems = run_page(page, workplace)

    assert not problems, "\n\n".join(problems)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("workplace")
def test_what_tensorflow_is_replaced_by_does_the_same():
    blocks = [block for block in blocks_of(DOCS / "train.md") if block.language == "tensorflow"]
    program = "import numpy as np, tensorflow as tf\n" + "\n".join(block.text for block in blocks)

    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    problems = run_page(DOCS / "train.md", Path.cwd())

    assert len(blocks) > 3
    assert not problems
    same = fastckpt.diff("averaged_by_tf", "averaged")
    assert [change.name for change in same.changed] == ["global_step"]
    assert fastckpt.diff("renamed_by_tf", "renamed").is_same
    assert fastckpt.diff("tf_loop", "loop").is_same


@pytest.mark.usefixtures("workplace")
def test_docstring_example_is_true():
    result = doctest.testmod(fastckpt)

    assert result.attempted > 0
    assert result.failed == 0


@by_name(PAGES)
def test_block_is_run_or_there_is_a_reason(page):
    languages = {block.where: block.language for block in blocks_of(page)}

    unknown = [each for each in languages.items() if each[1] not in (*RUN, *NOT_RUN)]
    assert not unknown
    hidden = [
        block.where
        for block in blocks_of(page)
        if block.language in NOT_RUN and re.search(r"^(\$|>>>) ", block.text, re.M)
    ]
    assert not hidden


def test_runner_finds_what_is_wrong(workplace):
    page = workplace / "page.md"
    blocks = ["```python\nprint(1)\n```", "```text\n2\n```", "```console\n$ false\n```"]
    blocks += ['=== "Tab"\n\n    ```console\n    $ echo a\n    b\n    ```', "```python\n1 / 0\n```"]
    blocks += ["```console\n$ echo x; false  # exits with 1\n...\n```", "```\nfastckpt no\n```"]
    page.write_text("\n\n".join(blocks), "utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("documents.ROOT", workplace)
        problems = run_page(page, workplace)

    assert [problem.split(":")[1] for problem in problems] == ["5", "9", "15", "20", "29"]


# ---- Links and pages


@by_name(PAGES)
def test_link_leads_somewhere(page):
    for link in links_of(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if DOCS in page.parents:  # the site has nothing else
            assert DOCS in target.parents, link
        if anchor:
            assert anchor in anchors_of(target), link


def test_site_has_every_page():
    listed = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", SITE, re.M)

    own = {page.relative_to(DOCS).as_posix() for page in PAGES if page not in AT_THE_ROOT}
    assert sorted(listed) == sorted(own | {"changelog.md", "contributing.md"})


def test_site_fetches_nothing():
    assert "font: false" in SITE
    assert "://" not in SITE


# ---- What there is


def test_every_public_name_is_in_the_reference():
    documented = {name for page in DOCS.glob("api/*.md") for name in api_of(page)}

    names = {f"fastckpt.{name}" for name in fastckpt.__all__}
    names |= {f"fastckpt.train.{name}" for name in train.__all__}
    assert names - documented == {"fastckpt.train", "fastckpt.__version__"}


@pytest.mark.parametrize("verb", MODULES)
def test_verb_is_in_the_command_line_reference(verb):
    text = (DOCS / "cli.md").read_text("utf-8")

    section = text.partition(f"\n### {verb}\n")[2].partition("\n### ")[0]
    assert f"$ fastckpt {verb} " in section
    options = set(make_parser(verb)[0]._option_string_actions) - {"-h", "--help", "--json"}
    assert {option for option in options if f"`{option}" not in section} == set()


@pytest.mark.parametrize("verb", MODULES)
def test_verb_is_in_a_how_to(verb):
    pages = [*DOCS.glob("howto/*.md"), DOCS / "convert.md", DOCS / "report.md"]
    commands = [
        line
        for page in pages
        if page.exists()
        for block in blocks_of(page)
        if block.language == "console"
        for line, _, _ in commands_of(block)
    ]

    assert any(f"fastckpt {verb} " in f"{line} " for line in commands)
