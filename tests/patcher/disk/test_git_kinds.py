from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.results import Applied, Refusal, RolledBack
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.git_kit import git, make_repository, tree_of
from tests.patcher.lookalike import patches, snapshot, write_tree

pytestmark = pytest.mark.usefixtures("plain_git")


def bigger(folder: Path) -> Tree:
    return make_repository(folder, "vendor/deep down/sglang-src")


def worktree(folder: Path) -> Tree:
    make_repository(folder / "main")
    git(folder / "main", "worktree", "add", "--quiet", "../other")
    return Tree(folder / "other/python", "checkout")


def submodule(folder: Path) -> Tree:
    make_repository(folder / "inner")
    make_repository(folder / "outer", "unrelated")
    git(folder / "outer", "submodule", "--quiet", "add", "../inner", "third_party/x")
    git(folder / "outer", "commit", "--quiet", "-m", "Submodule")
    return Tree(folder / "outer/third_party/x/python", "checkout")


def shallow(folder: Path) -> Tree:
    make_repository(folder / "full")
    git(folder, "clone", "--quiet", "--depth=1", f"file://{folder}/full", "clone")
    return Tree(folder / "clone/python", "checkout")


def detached(folder: Path) -> Tree:
    tree = make_repository(folder)
    git(folder, "checkout", "--quiet", "--detach")
    return tree


@pytest.mark.parametrize("layout", [bigger, worktree, submodule, shallow, detached])
def test_every_kind_of_repository_works(
    tmp_path: Path, known: None, layout: Callable[[Path], Tree]
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    tree = layout(folder)
    before = snapshot(tree.home)
    assert isinstance(apply(tree, (), patches(), commit=True), Applied)
    assert git(tree.home, "status", "--porcelain") == ""
    assert isinstance(rollback(tree, revert=True), RolledBack)
    assert git(tree.home, "diff", "--stat", "HEAD~2") == ""
    assert snapshot(tree.home) == before


def test_a_repository_without_commits_is_no_repository(
    tmp_path: Path, known: None
) -> None:
    tree = write_tree(tmp_path / "repo")
    git(tree.home, "init", "--quiet")
    assert isinstance(apply(tree, (), patches()), Applied)


def test_a_package_that_git_ignores_is_no_repository(
    tmp_path: Path, known: None
) -> None:
    make_repository(tmp_path / "repo", "src")
    tree = write_tree(tmp_path / "repo/.venv/site-packages")
    with pytest.raises(Refusal, match="no git repository"):
        apply(tree, (), patches(), commit=True)
    assert isinstance(apply(tree, (), patches()), Applied)


def test_without_the_git_program_everything_else_works(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import git as library

    def missing(*arguments: object, **more: object) -> str:
        raise library.GitCommandNotFound("git", "no such program")

    monkeypatch.setattr(library.Git, "execute", missing)
    before = snapshot(repo / "python")
    assert isinstance(apply(tree_of(repo), (), patches()), Applied)
    assert isinstance(rollback(tree_of(repo)), RolledBack)
    assert snapshot(repo / "python") == before


def test_a_repository_of_another_owner_says_what_git_says(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(Refusal) as refusal:
        apply(tree_of(repo), (), patches())
    assert "dubious ownership" in refusal.value.reasons[0].lines[0]
    allowed = apply(tree_of(repo), (), patches(), allow_dirty=True)
    assert isinstance(allowed, Applied)
    with pytest.raises(Refusal, match="git rev-parse failed"):
        rollback(tree_of(repo), revert=True)
    assert isinstance(rollback(tree_of(repo)), RolledBack)
