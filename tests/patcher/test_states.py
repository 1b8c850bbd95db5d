"""The table of `docs/states.md`, cell by cell, and the roads by which trees get there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.cli import apply as apply_command
from patcher.cli import rollback as rollback_command
from patcher.cli import status as status_command
from patcher.disk import fs
from patcher.disk.state import state_of
from patcher.results import Refusal
from patcher.tree.find import Tree, find_tree
from tests.patcher.git_kit import git, make_repository
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    KERNEL,
    VERSION,
    patches,
    snapshot,
    write_tree,
    write_wheel,
)
from verify.sides.source import resolve

PAGE = Path(__file__).parents[2] / "docs/states.md"
Make = Callable[[Path], Tree]
ROADS: dict[str, Make] = {}


def road(words: str) -> Callable[[Make], Make]:
    """Registers how a tree of the table comes about."""

    def register(make: Make) -> Make:
        ROADS[words] = make
        return make

    return register


def patched(home: Path) -> Tree:
    tree = write_tree(home)
    apply(tree, (), patches())
    return tree


ROADS["a release, untouched"] = write_tree
ROADS["patched"] = patched


class Killed(BaseException):
    """Nothing that the patcher catches."""


@road("an apply was killed half way")
def killed(home: Path) -> Tree:
    tree, done = write_tree(home), []

    def once(source: Path, target: Path) -> None:
        if target.suffix == ".py":
            done.append(target)
        if len(done) > 1:
            raise Killed
        os.replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "replace", once)
        with pytest.raises(Killed):
            apply(tree, (), patches())
    return tree


@road("somebody restored one file of several")
def partly(home: Path) -> Tree:
    tree = patched(home)
    tree.path(ENVIRON).write_text(FILES[ENVIRON])
    return tree


@road("somebody restored the files, and left our new ones")
def restored(home: Path) -> Tree:
    tree = partly(home)
    tree.path(BACKEND).write_text(FILES[BACKEND])
    return tree


@road("another release was installed over it")
def upgraded(home: Path) -> Tree:
    tree = restored(home)
    tree.path(VERSION).write_text('__version__ = "0.9"\n')
    old = FILES[BACKEND].replace("total = sum(lens)", "total = len(lens)")
    tree.path(BACKEND).write_text(old)
    return tree


@road("it was uninstalled, and our new files stayed")
def uninstalled(home: Path) -> Tree:
    tree = patched(home)
    for file in FILES:
        tree.path(file).unlink()
    for folder in sorted(tree.home.rglob("*"), reverse=True):
        if folder.is_dir() and not list(folder.iterdir()):
            folder.rmdir()
    return tree


@road("a copy without dot files")
def copied(home: Path) -> Tree:
    tree = patched(home)
    shutil.rmtree(tree.state)
    return tree


@road("a clone of the commit of an apply")
def cloned(home: Path) -> Tree:
    tree = make_repository(home.parent / "upstream", ".")
    apply(tree, (), patches(), commit=True)
    git(home.parent, "clone", "--quiet", "upstream", home.name)
    return Tree(home.resolve(), "wheel")


@road("a release with an edit of somebody's")
def drifted(home: Path) -> Tree:
    tree = write_tree(home)
    edit(tree, "# The longest row.", "# Mine.")
    return tree


@road("edited since it was patched")
def edited(home: Path) -> Tree:
    tree = patched(home)
    edit(tree, "# The longest row.", "# Mine.")
    return tree


@road("restored with an edit of somebody's")
def restored_and_edited(home: Path) -> Tree:
    tree = restored(home)
    edit(tree, "# The longest row.", "# Mine.")
    return tree


@road("some other package of that name")
def other(home: Path) -> Tree:
    return write_tree(home, {VERSION: '__version__ = "7"\n', BACKEND: "x = 1\n"})


def edit(tree: Tree, old: str, new: str) -> None:
    text = tree.path(BACKEND).read_text()
    assert old in text
    tree.path(BACKEND).write_text(text.replace(old, new))


def table() -> tuple[list[str], list[list[str]]]:
    """Head and rows of the page's big table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    wide = [row for row in rows if len(row) == 8]
    return [cell.strip("`") for cell in wide[0]], wide[1:]


HEAD, ROWS = table()
CELLS = [
    pytest.param(row[0], row[1].strip("`"), command, cell, id=f"{row[0]}: {command}")
    for row in ROWS
    for command, cell in zip(HEAD[2:], row[2:], strict=True)
]
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "apply": partial(apply_command.main, patches=patches),
    "rollback": partial(rollback_command.main, patches=patches),
    "status": partial(status_command.main, abouts=tuple),
}
LOOKS = ("apply --check", "status", "verify")


@pytest.fixture(autouse=True)
def _cache(
    known: None, plain_git: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSA_OPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/wheels").mkdir(parents=True)
    write_wheel(tmp_path / "cache/wheels", "1.0", FILES)


def test_the_table_has_a_row_for_every_road() -> None:
    assert [row[0] for row in ROWS] == list(ROADS)


@pytest.mark.parametrize(("words", "state", "command", "cell"), CELLS)
def test_a_cell(
    tmp_path: Path, words: str, state: str, command: str, cell: str
) -> None:
    tree = ROADS[words](tmp_path / "tree")
    assert state_of(tree).kind == state
    before = snapshot(tree.home)
    left = (
        look(tree, cell) if command == "verify" else run(tree, command, cell, tmp_path)
    )
    if command in LOOKS:
        assert snapshot(tree.home) == before
    else:
        assert left


def look(tree: Tree, cell: str) -> bool:
    if cell != "compares":
        with pytest.raises(Refusal) as refusal:
            resolve(tree.home, None, lambda line: None)
        assert cell == f"{refusal.value.code} refuses"
        return False
    pair = resolve(tree.home, None, lambda line: None)
    assert pair.baseline.read(BACKEND) == FILES[BACKEND].encode()
    assert pair.baseline.read(KERNEL) is None
    assert pair.candidate.read(BACKEND) == tree.read(BACKEND)
    return True


def run(tree: Tree, command: str, cell: str, tmp_path: Path) -> bool:
    """Runs the command and holds it against the cell."""
    said, _, after = cell.partition(", ")
    name, *options = command.split()
    file = tmp_path / "report.json"
    code = COMMANDS[name]([str(tree.home), *options, "--json", str(file)])
    result = json.loads(file.read_text())
    assert f"{code} {result['result']}" == said
    if name == "status":
        assert result["state"] == state_of(tree).kind
    if not after:
        return False
    if after == "none":
        assert not (tree.home / "sglang").exists()
        return True
    assert state_of(find_tree(tree.home)).kind == after
    if after == "original":
        assert not tree.state.exists()
    return True


def test_words_about_us_are_no_marker(tmp_path: Path, known: None) -> None:
    tree = write_tree(tmp_path)
    with tree.path(BACKEND).open("a") as file:
        file.write("# a line that nsa-opt: apply left alone\n")
    assert state_of(tree).kind == "edited"
    assert not state_of(tree).marked
