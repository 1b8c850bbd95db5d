from __future__ import annotations

import os
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.disk import manifest
from patcher.results import AlreadyApplied, Applied, Exit, Refusal, RolledBack
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.git_kit import git, make_repository, tree_of
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    KERNEL,
    patches,
    snapshot,
)

pytestmark = pytest.mark.usefixtures("plain_git")


def test_the_state_folder_is_no_change_to_git(repo: Path) -> None:
    apply(tree_of(repo), (), patches())
    changed = git(repo, "status", "--porcelain").splitlines()
    assert [line.split()[-1] for line in changed] == [
        f"python/{ENVIRON}",
        f"python/{BACKEND}",
        f"python/{Path(KERNEL).parent}/",
    ]
    rollback(tree_of(repo))
    assert git(repo, "status", "--porcelain", "--ignored") == ""


@pytest.mark.parametrize("staged", [False, True])
def test_dirty_files_that_the_plan_touches_are_refused(
    repo: Path, staged: bool
) -> None:
    tree = tree_of(repo)
    clean = tree.path(ENVIRON).read_text()
    tree.path(ENVIRON).write_text(clean + "# mine\n")
    if staged:
        git(repo, "add", "--all")
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), patches(), allow_drift=True)
    (reason,) = refusal.value.reasons
    assert (reason.file, reason.what) == (
        ENVIRON,
        "has edits that are not committed",
    )
    assert "--allow-dirty" in reason.hint
    assert not tree.state.exists()
    allowed = apply(tree, (), patches(), allow_drift=True, allow_dirty=True)
    assert isinstance(allowed, Applied)
    rollback(tree)
    assert tree.path(ENVIRON).read_text() == clean + "# mine\n"


def test_other_dirty_files_do_not_matter(repo: Path) -> None:
    (repo / "python/sglang/__init__.py").write_text("x = 1\n")
    (repo / "note.txt").write_text("untracked\n")
    assert isinstance(apply(tree_of(repo), (), patches()), Applied)


def test_what_an_apply_left_is_not_dirt(repo: Path) -> None:
    apply(tree_of(repo), ["once"], patches())
    assert isinstance(apply(tree_of(repo), ["fast"], patches()), Applied)


def test_commit_makes_one_commit_that_tells_all(repo: Path) -> None:
    tree = tree_of(repo)
    (repo / "staged.txt").write_text("mine\n")
    git(repo, "add", "staged.txt")
    result = apply(tree, (), patches(), commit=True)
    assert isinstance(result, Applied)
    assert result.commit == git(repo, "rev-parse", "HEAD")
    assert git(repo, "rev-list", "--count", "HEAD") == "2"
    applied = manifest.load(tree)
    assert applied is not None
    message = git(repo, "log", "-1", "--format=%B")
    assert message.splitlines()[0] == "Apply nsa-opt: once, fast, wide"
    for patch in applied.patches:
        assert f"{patch.name} {patch.version}" in message
    for file in applied.files:
        assert f"{file.sha256_after}  {file.path}" in message
    assert git(repo, "status", "--porcelain") == "A  staged.txt"


def test_revert_is_a_commit_that_takes_it_back(repo: Path) -> None:
    tree = tree_of(repo)
    before = git(repo, "rev-parse", "HEAD^{tree}")
    applied = apply(tree, (), patches(), commit=True)
    assert isinstance(applied, Applied)
    (repo / "later.txt").write_text("x\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "-m", "Later")
    result = rollback(tree, revert=True)
    assert isinstance(result, RolledBack)
    assert result.commit == git(repo, "rev-parse", "HEAD")
    assert git(repo, "rev-parse", "HEAD:python") == git(
        repo, "rev-parse", "HEAD~3:python"
    )
    message = git(repo, "log", "-1", "--format=%B")
    assert message.startswith("Roll back nsa-opt: once, fast, wide\n")
    assert f"This reverts commit {applied.commit}." in message
    assert git(repo, "status", "--porcelain", "--ignored") == ""
    assert before


def test_restore_leaves_the_commit_and_says_so(repo: Path) -> None:
    applied = apply(tree_of(repo), (), patches(), commit=True)
    assert isinstance(applied, Applied)
    result = rollback(tree_of(repo))
    assert isinstance(result, RolledBack)
    assert result.commit is None
    assert str(applied.commit) in result.notes[0]
    assert git(repo, "rev-list", "--count", "HEAD") == "2"
    assert git(repo, "diff", "--stat", "HEAD~1") == ""


def test_one_patch_can_be_reverted(repo: Path) -> None:
    apply(tree_of(repo), (), patches(), commit=True)
    rollback(tree_of(repo), ["wide"], patches, revert=True)
    assert git(repo, "log", "-1", "--format=%s") == "Roll back nsa-opt: wide"
    result = rollback(tree_of(repo), revert=True)
    assert isinstance(result, RolledBack)
    assert git(repo, "diff", "--stat", "HEAD~3") == ""


def test_what_was_not_committed_cannot_be_reverted(repo: Path) -> None:
    apply(tree_of(repo), (), patches())
    with pytest.raises(Refusal, match="not in the last commit") as refusal:
        rollback(tree_of(repo), revert=True)
    assert refusal.value.code == Exit.USAGE


def test_commit_refuses_to_mix_in_edits(repo: Path) -> None:
    tree = tree_of(repo)
    tree.path(ENVIRON).write_text(tree.path(ENVIRON).read_text() + "# mine\n")
    with pytest.raises(Refusal, match="not committed"):
        apply(tree, (), patches(), allow_drift=True, allow_dirty=True, commit=True)


def test_what_was_applied_can_be_committed_later(repo: Path) -> None:
    apply(tree_of(repo), (), patches())
    result = apply(tree_of(repo), (), patches(), commit=True)
    assert isinstance(result, Applied)
    assert result.commit == git(repo, "rev-parse", "HEAD")
    assert result.files == ()
    assert git(repo, "status", "--porcelain") == ""
    again = apply(tree_of(repo), (), patches(), commit=True)
    assert isinstance(again, AlreadyApplied)
    assert git(repo, "rev-list", "--count", "HEAD") == "2"


def test_a_later_commit_does_not_mix_in_edits_either(repo: Path) -> None:
    tree = tree_of(repo)
    tree.path(ENVIRON).write_text(tree.path(ENVIRON).read_text() + "# mine\n")
    apply(tree, ["wide"], patches(), allow_drift=True, allow_dirty=True)
    for names in (["wide"], ["fast"]):
        with pytest.raises(Refusal, match="not committed") as refusal:
            apply(tree, names, patches(), allow_drift=True, commit=True)
        assert [reason.file for reason in refusal.value.reasons] == [ENVIRON]


def test_a_git_hook_does_not_lead_astray(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from patcher.cli import apply as command

    make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert command.main([str(repo), "--commit"], patches) == 0
    assert git(repo, "rev-list", "--count", "HEAD") == "2"


def test_commit_without_git_is_refused(tree: Tree) -> None:
    with pytest.raises(Refusal, match="no git repository") as refusal:
        apply(tree, (), patches(), commit=True)
    assert refusal.value.code == Exit.USAGE


def test_an_unknown_committer_is_found_out_before_anything(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text("[user]\n\tuseConfigOnly = true\n")
    before = snapshot(repo)
    with pytest.raises(Refusal, match="git var failed") as refusal:
        apply(tree_of(repo), (), patches(), commit=True)
    assert refusal.value.code == Exit.UNAVAILABLE
    assert snapshot(repo) == before


def test_a_commit_that_fails_takes_the_apply_back(repo: Path) -> None:
    before = snapshot(repo / "python")
    (repo / ".git/index.lock").touch()
    with pytest.raises(Refusal, match="holds the index"):
        apply(tree_of(repo), (), patches(), commit=True)
    (repo / ".git/index.lock").unlink()
    assert snapshot(repo / "python") == before
    assert git(repo, "status", "--porcelain") == ""


def test_a_commit_that_cannot_be_signed_leaves_nothing_staged(repo: Path) -> None:
    before = snapshot(repo / "python")
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write("[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = false\n")
    with pytest.raises(Refusal, match="git commit-tree failed"):
        apply(tree_of(repo), (), patches(), commit=True)
    assert snapshot(repo / "python") == before
    assert git(repo, "status", "--porcelain") == ""


def test_hooks_that_reformat_are_left_out(repo: Path) -> None:
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert isinstance(apply(tree_of(repo), (), patches(), commit=True), Applied)
