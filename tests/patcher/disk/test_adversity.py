"""Odd files and odd places: the patch fits them, or says why not; nothing is lost."""

from __future__ import annotations

import errno
import os
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patcher.apply import apply
from patcher.disk import manifest
from patcher.plan.edits import files_of, plan
from patcher.results import Applied, Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.kit import is_insertion
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    KERNEL,
    patches,
    snapshot,
    write_tree,
)


@pytest.mark.parametrize(
    "name", ["with space", "ünï ✓", "-dash", "new\nline", "$(x)'\""]
)
def test_odd_names_of_places(tmp_path: Path, known: None, name: str) -> None:
    tree = write_tree(tmp_path / name)
    before = snapshot(tree.home)
    assert isinstance(apply(tree, (), patches()), Applied)
    rollback(tree)
    assert snapshot(tree.home) == before


def test_a_name_that_is_no_text(
    tmp_path: Path, known: None, capfd: pytest.CaptureFixture[str]
) -> None:
    from patches import commands

    folder = tmp_path / os.fsdecode(b"\xff")
    assert commands.apply([str(folder)]) == 2
    assert capfd.readouterr().err.endswith("\\udcff: does not exist\n")


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def bom(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


def tabs(data: bytes) -> bytes:
    return data.replace(b"    ", b"\t")


def no_last_newline(data: bytes) -> bytes:
    return data.rstrip(b"\n")


def form_feeds(data: bytes) -> bytes:
    return data.replace(b"\n\n\n", b"\n\n\x0c\n")


@pytest.mark.parametrize("change", [crlf, bom, tabs, no_last_newline, form_feeds])
def test_odd_layouts_are_patched_and_come_back(
    tree: Tree, change: Callable[[bytes], bytes]
) -> None:
    # With tabs the backend has too few of its lines left to be near any release.
    files = [ENVIRON] if change is tabs else [BACKEND, ENVIRON]
    for file in files:
        tree.path(file).write_bytes(change(tree.path(file).read_bytes()))
    before = snapshot(tree.home)
    texts = {file: tree.path(file).read_bytes() for file in files}
    assert isinstance(apply(tree, (), patches(), allow_drift=True), Applied)
    for file, old in texts.items():
        new = tree.path(file).read_bytes()
        assert is_insertion(old.decode("utf-8-sig"), new.decode("utf-8-sig"))
        assert new.startswith(BOM_UTF8) == old.startswith(BOM_UTF8)
        assert (b"\r\n" in new) == (b"\r\n" in old)
        assert (new[-1:] == b"\n") == (old[-1:] == b"\n")
    rollback(tree)
    assert snapshot(tree.home) == before


def test_bytes_that_are_not_utf_8_are_refused_and_kept(tree: Tree) -> None:
    data = FILES[BACKEND].replace("longest row", "l\xe4ngste Zeile")
    tree.path(BACKEND).write_bytes(data.encode("latin-1"))
    before = snapshot(tree.home)
    with pytest.raises(Refusal, match="not UTF-8"):
        apply(tree, (), patches(), allow_drift=True)
    assert snapshot(tree.home) == before


def test_a_target_that_is_a_folder_is_refused(tree: Tree) -> None:
    tree.path(KERNEL).mkdir()
    with pytest.raises(Refusal, match="not a regular file"):
        apply(tree, (), patches())


def test_a_file_in_the_place_of_a_new_one_is_refused(tree: Tree) -> None:
    tree.path(KERNEL).write_text("mine = 1\n")
    before = snapshot(tree.home)
    with pytest.raises(Refusal, match="already has this file"):
        apply(tree, (), patches())
    assert snapshot(tree.home) == before


def test_a_link_in_the_place_of_a_new_file_is_refused(tree: Tree) -> None:
    outside = tree.home.parent / "outside.py"
    tree.path(KERNEL).symlink_to(outside)
    with pytest.raises(Refusal, match="symbolic link"):
        apply(tree, (), patches())
    assert not outside.exists()


def test_a_link_made_after_the_apply_is_not_followed(tree: Tree) -> None:
    apply(tree, (), patches())
    outside = tree.home.parent / "outside.py"
    tree.path(BACKEND).rename(outside)
    tree.path(BACKEND).symlink_to(outside)
    patched = outside.read_bytes()
    with pytest.raises(Refusal, match="symbolic link"):
        rollback(tree)
    assert outside.read_bytes() == patched


def test_the_owner_is_kept_as_far_as_may_be(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    real = os.lstat(tree.path(BACKEND))

    def lstat(path: Path) -> os.stat_result:
        values = list(real)
        values[4:6] = [12345, 54321]
        return os.stat_result(values)

    def fchown(handle: int, user: int, group: int) -> None:
        given.append((user, group))
        raise PermissionError(errno.EPERM, "not yours")

    from patcher.disk import fs

    class Watched:
        def __getattr__(self, name: str) -> object:
            return {"lstat": lstat, "fchown": fchown}.get(name) or getattr(os, name)

    monkeypatch.setattr(fs, "os", Watched())
    assert isinstance(apply(tree, ["wide"], patches()), Applied)
    assert given == [(12345, 54321), (-1, 54321)] * (len(given) // 2)
    assert len(given) > 6


LINES = sorted({line for text in FILES.values() for line in text.splitlines()})


@st.composite
def edited(draw: st.DrawFn, text: str) -> bytes:
    """The text after some edits: lines gone, doubled, swapped in, or garbled."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines)))
        match draw(st.sampled_from(["drop", "double", "insert", "garble"])):
            case "drop":
                lines[at : at + 1] = []
            case "double":
                lines[at:at] = lines[at : at + 1]
            case "insert":
                lines[at:at] = [draw(st.sampled_from(LINES)) + "\n"]
            case "garble":
                lines[at:at] = [draw(st.text(max_size=20)) + "\n"]
    return "".join(lines).encode("utf-8", "surrogatepass")


@settings(max_examples=150, deadline=None)
@given(backend=edited(FILES[BACKEND]), environ=edited(FILES[ENVIRON]))
def test_a_plan_keeps_every_line_or_says_why_not(
    backend: bytes, environ: bytes
) -> None:
    originals = {BACKEND: backend, ENVIRON: environ}
    planned = plan(originals, patches())
    assert bool(planned.edits) != bool(planned.conflicts)
    for reason in planned.conflicts:
        assert reason.file in files_of(patches())
        assert reason.what
    for file, new in planned.edits.items():
        compile(new, file, "exec", dont_inherit=True)
        if file in originals:
            old = originals[file].decode()
            assert is_insertion(_without_imports(old), _without_imports(new.decode()))
    if planned.edits:
        again = plan({**originals, **planned.edits}, patches())
        assert again.conflicts


def _without_imports(text: str) -> str:
    return "\n".join(x for x in text.splitlines() if not x.startswith("from "))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(backend=edited(FILES[BACKEND]), environ=edited(FILES[ENVIRON]))
def test_apply_then_rollback_is_nothing(
    tree: Tree, backend: bytes, environ: bytes
) -> None:
    tree.path(BACKEND).write_bytes(backend)
    tree.path(ENVIRON).write_bytes(environ)
    before = snapshot(tree.home)
    try:
        apply(tree, (), patches(), allow_drift=True)
    except Refusal:
        assert snapshot(tree.home) == before
        return
    assert manifest.load(tree) is not None
    rollback(tree)
    assert snapshot(tree.home) == before
