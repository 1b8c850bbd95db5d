from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patcher.apply import apply
from patcher.disk import journal, manifest, packed
from patcher.disk.manifest import Manifest
from patcher.results import NothingToDo, Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import BACKEND, FILES, KERNEL, patches, snapshot

Edit = Callable[[dict[str, Any]], object]


def deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def rewrite(tree: Tree, edit: Edit) -> None:
    path = tree.state / manifest.NAME
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_it_tells_all_that_a_rollback_needs(tree: Tree) -> None:
    apply(tree, (), patches())
    applied = manifest.load(tree)
    assert applied is not None
    assert applied.release == "1.0"
    assert applied.names == ("once", "fast", "wide")
    assert applied.originals()[BACKEND] == FILES[BACKEND].encode()
    assert applied.originals()[KERNEL] is None
    assert applied.patched()[KERNEL].patched == tree.read(KERNEL)


def test_a_tree_without_patches_has_none(tree: Tree) -> None:
    assert manifest.load(tree) is None


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda m: m["files"][0].update(path="../../etc/x"), "leaves the package"),
        (lambda m: m["files"][0].update(path="sglang/../x"), "leaves the package"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "not a plain path"),
        (lambda m: m["files"][0].update(path="other/x.py"), "leaves the package"),
        (lambda m: m["files"][0].update(path="sglang"), "leaves the package"),
        (lambda m: m["files"][0].update(path="sglang//x"), "not a plain path"),
        (lambda m: m["files"][0].update(path="sglang/./x"), "not a plain path"),
        (lambda m: m["files"][0].update(path="sglang\\x"), "not a plain path"),
        (lambda m: m["files"][0].update(path="sglang/a\0b"), "not a plain path"),
        (lambda m: m["files"][0].update(path=""), "not a plain path"),
        (
            lambda m: m["files"][0].update(path="sglang/.nsa-opt/lock"),
            "not a file of the package",
        ),
        (
            lambda m: m["files"][1].update(path=m["files"][0]["path"]),
            "a path stands twice",
        ),
        (lambda m: m["files"][0].update(sha256_after="0" * 64), "have their hash"),
        (lambda m: m["files"][0].update(sha256_before=None), "have their hash"),
        (lambda m: m["files"][0].update(original=deflated(b"x")), "have their hash"),
        (lambda m: m["files"][0].update(original="?"), "cannot be unpacked"),
        (lambda m: m["files"][0].update(original=deflated(b"x" * 99)[:-4]), "cut off"),
        (lambda m: m["files"][0].update(patched=7), "is not text"),
        (
            lambda m: m["files"][0].update(patched=deflated(b"\0" * (40 << 20))),
            "cut off, or too large",
        ),
        (lambda m: m["files"][0].update(mode=0o4755), "less than or equal"),
        (lambda m: m.update(schema_version=2), "schema_version"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m.pop("files"), "files: Field required"),
        (lambda m: m.update(folders=["../x"]), "leaves the package"),
    ],
)
def test_a_manifest_that_lies_is_refused(tree: Tree, edit: Edit, what: str) -> None:
    apply(tree, (), patches())
    rewrite(tree, edit)
    before = snapshot(tree.home.parent)
    for command in (lambda: rollback(tree), lambda: apply(tree, (), patches())):
        with pytest.raises(Refusal) as refusal:
            command()
        (reason,) = refusal.value.reasons
        assert reason.file == manifest.PATH
        assert what in reason.what
    assert snapshot(tree.home.parent) == before


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"null", b'{"a": 1}'])
def test_a_damaged_manifest_is_refused(tree: Tree, data: bytes) -> None:
    apply(tree, (), patches())
    (tree.state / manifest.NAME).write_bytes(data)
    with pytest.raises(Refusal) as refusal:
        rollback(tree)
    assert "is damaged" in refusal.value.reasons[0].what
    assert "reinstall the release" in refusal.value.reasons[0].hint


def test_a_huge_manifest_is_refused(tree: Tree) -> None:
    apply(tree, (), patches())
    with (tree.state / manifest.NAME).open("r+b") as file:
        file.truncate(1 << 32)
    with pytest.raises(Refusal, match="is too large"):
        rollback(tree)


def test_a_truncated_manifest_is_refused(tree: Tree) -> None:
    apply(tree, (), patches())
    path = tree.state / manifest.NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refusal, match="is damaged"):
        rollback(tree)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(data=st.binary(max_size=200), cut=st.integers(0, 5000))
def test_no_manifest_makes_it_write_or_crash(tree: Tree, data: bytes, cut: int) -> None:
    path = tree.state / manifest.NAME
    if not path.exists():
        apply(tree, (), patches())
        path.with_suffix(".good").write_bytes(path.read_bytes())
    good = path.with_suffix(".good").read_bytes()
    bad = good[:cut] + data + good[cut + len(data) :]
    path.write_bytes(bad)
    try:
        manifest.load(tree)
    except Refusal:
        before = snapshot(tree.home)
        with pytest.raises(Refusal):
            rollback(tree)
        assert snapshot(tree.home) == before


def test_a_symlinked_state_folder_is_refused(tree: Tree) -> None:
    elsewhere = tree.home.parent / "elsewhere"
    elsewhere.mkdir()
    tree.state.symlink_to(elsewhere)
    with pytest.raises(Refusal, match="symbolic link"):
        apply(tree, (), patches())
    assert list(elsewhere.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_refused(tree: Tree) -> None:
    tree.state.mkdir()
    (tree.state / manifest.NAME).mkdir()
    with pytest.raises(Refusal, match="not a regular file"):
        rollback(tree)


def test_an_old_journal_that_leaves_the_package_is_refused(tree: Tree) -> None:
    tree.state.mkdir()
    change = {"path": "sglang/../../x", "old": None, "new": deflated(b"x"), "mode": 420}
    content = {"schema_version": 1, "changes": [change], "make": [], "remove": []}
    (tree.state / journal.NAME).write_text(json.dumps(content))
    with pytest.raises(Refusal, match="leaves the package"):
        rollback(tree)
    assert not (tree.home.parent / "x").exists()


def test_a_stale_state_folder_goes_away(tree: Tree) -> None:
    before = snapshot(tree.home)
    tree.state.mkdir()
    (tree.state / ".gitignore").write_text("*\n")
    (tree.state / "journal.json.tmp").write_text("{")
    assert isinstance(rollback(tree), NothingToDo)
    assert snapshot(tree.home) == before


def test_records_are_read_as_they_were_written(tree: Tree) -> None:
    apply(tree, (), patches())
    data = (tree.state / manifest.NAME).read_bytes()
    assert packed.dump(Manifest.model_validate_json(data)) == data
