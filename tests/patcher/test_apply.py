from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.results import (
    AlreadyApplied,
    Applied,
    Exit,
    Reason,
    Refusal,
    WouldApply,
)
from patcher.rollback import rollback
from patcher.tree import wheels
from patcher.tree.find import Tree
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    KERNEL,
    NEW_BACKEND,
    VERSION,
    patches,
    snapshot,
    write_tree,
)
from tests.patcher.tree_kit import edit, reasons


def test_applies_all_patches_that_fit(tree: Tree) -> None:
    result = apply(tree, (), patches())
    assert isinstance(result, Applied)
    assert result.release == "1.0"
    assert result.patches == ("once", "fast", "wide")
    assert {f.path for f in result.files} == {BACKEND, ENVIRON, KERNEL}
    assert b"# nsa-opt: once, fast, wide\n" in tree.path(BACKEND).read_bytes()


def test_leaves_out_what_does_not_fit_the_release(tmp_path: Path, known: None) -> None:
    old = {**FILES, VERSION: '__version__ = "0.9"\n'}
    old[BACKEND] = old[BACKEND].replace("total = sum(lens)", "total = len(lens)")
    result = apply(write_tree(tmp_path, old), (), patches())
    assert isinstance(result, Applied)
    assert (result.release, result.patches) == ("0.9", ("once", "fast"))


def test_a_named_patch_brings_what_it_requires(tree: Tree) -> None:
    result = apply(tree, ["fast"], patches())
    assert isinstance(result, Applied)
    assert result.patches == ("once", "fast")


def test_applying_twice_changes_nothing_and_says_so(tree: Tree) -> None:
    apply(tree, (), patches())
    before = snapshot(tree.home)
    result = apply(tree, (), patches())
    assert isinstance(result, AlreadyApplied)
    assert snapshot(tree.home) == before


@pytest.mark.parametrize(
    "order", [("once", "fast", "wide"), ("wide", "once", "fast"), ("wide", "fast")]
)
def test_one_by_one_in_any_order_is_all_at_once(
    tree: Tree, tmp_path: Path, order: tuple[str, ...]
) -> None:
    apply(tree, (), patches())
    other = write_tree(tmp_path / "other")
    for name in order:
        apply(other, [name], patches())
    assert snapshot(other.home) == snapshot(tree.home)


def test_a_dry_run_writes_nothing_and_shows_the_diff(tree: Tree) -> None:
    before = {p: p.stat() for p in tree.home.rglob("*")}
    result = apply(tree, (), patches(), dry=True)
    assert isinstance(result, WouldApply)
    assert result.exit == Exit.DIFFERS
    assert f"+++ b/{KERNEL}" in result.diff
    after = {p: p.stat() for p in tree.home.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_mode, s.st_ino) for p, s in after.items()} == {
        p: (s.st_mtime_ns, s.st_mode, s.st_ino) for p, s in before.items()
    }


def test_modes_are_kept(tree: Tree) -> None:
    apply(tree, (), patches())
    assert tree.path(ENVIRON).stat().st_mode & 0o777 == 0o640


def test_untouched_files_keep_their_inode(tree: Tree) -> None:
    before = tree.path(ENVIRON).stat().st_ino
    apply(tree, ["once"], patches())
    assert tree.path(ENVIRON).stat().st_ino == before


def test_an_edited_tree_is_refused_by_file_and_symbol(tree: Tree) -> None:
    edit(tree, BACKEND, "self.size = size", "self.size = 7")
    before = snapshot(tree.home)
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), patches())
    (reason,) = refusal.value.reasons
    assert (reason.file, reason.symbol) == (BACKEND, "Backend.__init__")
    assert reason.lines == ("+         self.size = 7",)
    assert "--allow-drift" in reason.hint
    assert snapshot(tree.home) == before


def test_allow_drift_patches_it_and_rollback_gives_the_edit_back(tree: Tree) -> None:
    edit(tree, BACKEND, "self.size = size", "self.size = 7")
    before = snapshot(tree.home)
    result = apply(tree, (), patches(), allow_drift=True)
    assert isinstance(result, Applied)
    assert "every anchor is intact" in result.notes[0]
    assert isinstance(apply(tree, (), patches()), AlreadyApplied)
    rollback(tree, ["fast"], patches)
    rollback(tree)
    assert snapshot(tree.home) == before


def test_what_another_nsa_opt_wrote_otherwise_is_written_again(tree: Tree) -> None:
    before = snapshot(tree.home)
    apply(tree, (), patches())
    once, fast, wide = patches()
    newer = (once, fast, replace(wide, steps=wide.steps[:1]))
    assert isinstance(apply(tree, (), newer, dry=True), WouldApply)
    assert isinstance(apply(tree, (), newer), Applied)
    assert isinstance(apply(tree, (), newer), AlreadyApplied)
    rollback(tree)
    assert snapshot(tree.home) == before


def test_every_conflict_is_listed_at_once(tree: Tree) -> None:
    edit(tree, BACKEND, "def replay(self, lens)", "def replay(self, lengths)")
    edit(tree, BACKEND, "class Metadata", "class MetaData")
    edit(tree, ENVIRON, "class Envs", "class Variables")
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), patches(), allow_drift=True)
    assert reasons(refusal) == [
        (BACKEND, "Metadata", "Metadata is not defined (there is MetaData)"),
        (ENVIRON, "Envs", "Envs is not defined"),
        (BACKEND, "Backend.replay", "Backend.replay takes other parameters"),
        # `wide` wants the same class, and says nothing twice.
    ]
    assert refusal.value.reasons[2].lines == ("- (self, lens)", "+ (self, lengths)")


@pytest.mark.parametrize(
    ("release", "backend", "what"),
    [
        (
            "0.8",
            {BACKEND: "class Backend: ...\n"},
            "sglang 0.8: has no multi-step NSA backend",
        ),
        (
            "2.0",
            {NEW_BACKEND: "class NewBackend: ...\n"},
            "no patch fits sglang 2.0: once, fast, wide: not made for family C",
        ),
    ],
)
def test_a_release_that_is_not_patched_says_why(
    tmp_path: Path, known: None, release: str, backend: dict[str, str], what: str
) -> None:
    files = {VERSION: f'__version__ = "{release}"\n', **backend}
    with pytest.raises(Refusal) as refusal:
        apply(write_tree(tmp_path, files), (), patches())
    assert reasons(refusal) == [("", "", what)]


def test_an_unknown_tree_is_refused(tmp_path: Path, known: None) -> None:
    files = {VERSION: '__version__ = "-"\n', BACKEND: "x = 1\n"}
    with pytest.raises(Refusal) as refusal:
        apply(write_tree(tmp_path, files), (), patches(), allow_drift=True)
    assert reasons(refusal) == [("", "", "the tree is of no release known here")]


def test_a_mistyped_patch_gets_a_suggestion(tree: Tree) -> None:
    with pytest.raises(Refusal) as refusal:
        apply(tree, ["fats"], patches())
    assert refusal.value.code == Exit.USAGE
    assert refusal.value.reasons[0].hint == "did you mean fast?"


def test_a_patch_that_does_not_fit_the_release_says_why(
    tmp_path: Path, known: None
) -> None:
    old = {**FILES, VERSION: '__version__ = "0.9"\n'}
    old[BACKEND] = old[BACKEND].replace("total = sum(lens)", "total = len(lens)")
    with pytest.raises(Refusal) as refusal:
        apply(write_tree(tmp_path, old), ["wide"], patches())
    what = "patch wide does not fit 0.9: rows are narrow there"
    assert reasons(refusal) == [("", "wide", what)]


def no_network(pin: object, folder: object) -> None:
    raise Refusal(Reason("sglang", "", "no network"), code=Exit.UNAVAILABLE)


def test_markers_without_a_manifest_are_recognised(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NSA_OPT_CACHE", str(tmp_path / "cache"))
    apply(tree, (), patches())
    for path in tree.state.iterdir():
        path.unlink()
    tree.state.rmdir()
    monkeypatch.setattr(wheels, "_download", no_network)
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), patches(), allow_drift=True)
    assert refusal.value.code == Exit.UNAVAILABLE
    what = "carries patches of nsa-opt, and no manifest tells of them"
    assert (BACKEND, "", what) in reasons(refusal)


def test_a_hard_link_elsewhere_keeps_its_bytes(tree: Tree, tmp_path: Path) -> None:
    link = tmp_path / "cached.py"
    os.link(tree.path(BACKEND), link)
    apply(tree, (), patches())
    assert link.read_text() == FILES[BACKEND]


def test_a_symlinked_target_is_refused(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(FILES[BACKEND])
    tree.path(BACKEND).unlink()
    tree.path(BACKEND).symlink_to(outside)
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), patches())
    assert "is a symbolic link" in refusal.value.reasons[0].what
    assert outside.read_text() == FILES[BACKEND]
