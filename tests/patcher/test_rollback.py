from __future__ import annotations

from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.results import (
    NothingToDo,
    Refusal,
    RolledBack,
)
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    KERNEL,
    patches,
    snapshot,
    write_tree,
)
from tests.patcher.tree_kit import edit, reasons


def test_rollback_gives_everything_back(tree: Tree) -> None:
    before = snapshot(tree.home)
    apply(tree, (), patches())
    result = rollback(tree)
    assert isinstance(result, RolledBack)
    assert result.patches == ("once", "fast", "wide")
    assert snapshot(tree.home) == before


def test_rollback_removes_folders_that_the_apply_made(tree: Tree) -> None:
    tree.path(KERNEL).parent.rmdir()
    before = snapshot(tree.home)
    apply(tree, (), patches())
    rollback(tree)
    assert snapshot(tree.home) == before


def test_folders_and_modes_of_the_first_apply_count(tree: Tree) -> None:
    tree.path(KERNEL).parent.rmdir()
    before = snapshot(tree.home)
    apply(tree, ["fast"], patches())
    tree.path(ENVIRON).chmod(0o666)
    apply(tree, ["wide"], patches())
    rollback(tree)
    assert snapshot(tree.home) == before


def test_rollback_twice_has_nothing_to_do(tree: Tree) -> None:
    apply(tree, (), patches())
    rollback(tree)
    before = snapshot(tree.home)
    assert isinstance(rollback(tree), NothingToDo)
    assert snapshot(tree.home) == before


def test_removing_one_patch_is_never_applying_it(tree: Tree, tmp_path: Path) -> None:
    apply(tree, (), patches())
    result = rollback(tree, ["fast"], patches)
    assert isinstance(result, RolledBack)
    assert (result.patches, result.left) == (("fast",), ("once", "wide"))
    other = write_tree(tmp_path / "other")
    apply(other, ["once", "wide"], patches())
    assert snapshot(tree.home) == snapshot(other.home)


def test_removing_the_last_patch_removes_all_traces(tree: Tree) -> None:
    before = snapshot(tree.home)
    apply(tree, ["wide"], patches())
    rollback(tree, ["wide"], patches)
    assert snapshot(tree.home) == before


def test_removing_a_required_patch_names_what_needs_it(tree: Tree) -> None:
    apply(tree, (), patches())
    with pytest.raises(Refusal) as refusal:
        rollback(tree, ["once"], patches)
    assert reasons(refusal) == [("", "once", "fast cannot be without once")]


def test_removing_a_patch_that_is_not_there(tree: Tree) -> None:
    apply(tree, ["wide"], patches())
    assert isinstance(rollback(tree, ["fast"], patches), NothingToDo)


def test_a_patched_file_edited_since_is_refused_with_its_lines(tree: Tree) -> None:
    apply(tree, (), patches())
    edit(tree, BACKEND, "longest = max(lens)", "longest = 7")
    before = snapshot(tree.home)
    for command in (lambda: rollback(tree), lambda: apply(tree, (), patches())):
        with pytest.raises(Refusal) as refusal:
            command()
        (reason,) = refusal.value.reasons
        assert (reason.file, reason.symbol) == (BACKEND, "Backend.replay")
        assert reason.lines == (
            "-         longest = max(lens)",
            "+         longest = 7",
        )
    assert snapshot(tree.home) == before


def test_a_patched_file_removed_since_is_refused(tree: Tree) -> None:
    apply(tree, (), patches())
    tree.path(BACKEND).unlink()
    with pytest.raises(Refusal) as refusal:
        rollback(tree)
    assert reasons(refusal) == [(BACKEND, "", "was removed since it was patched")]
