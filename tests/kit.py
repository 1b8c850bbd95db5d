"""The three checks that every step and recipe is tested with."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from patcher.about import About
from patcher.disk import journal
from patcher.disk.lock import locked
from patcher.plan.edits import Plan, plan
from patcher.plan.prepare import manifest_of
from patcher.recipe import Patch
from patcher.results import Reason
from patcher.steps import Step
from patcher.steps.cst.workspace import with_one_marker
from patcher.tree.find import Tree

FILE = "sglang/mod.py"

Texts = str | Mapping[str, str]


def patch_of(*steps: Step, name: str = "demo") -> Patch:
    """A patch that consists of these steps."""
    return Patch(About(name, "1", "A test.", "tests", "SGLANG_DEMO"), steps)


def check_transformed(before: Texts, after: Texts, *made_of: Step | Patch) -> Plan:
    """The steps turn `before` into `after`; planned twice, compiled, and rolled back.

    `after` may show a marker where each region begins: a file gets one, at its top.
    """
    old, new = _files(before), _files(after)
    patches = _patches(made_of)
    planned = plan(old, patches)
    assert planned.conflicts == ()
    got = {file: data.decode() for file, data in planned.edits.items()}
    assert got == {f: with_one_marker(data.decode()) for f, data in new.items()}
    for file, data in planned.edits.items():
        if file.endswith(".py"):
            compile(data, file, "exec")
    assert plan({**old, **planned.edits}, patches).conflicts or not planned.edits
    assert planned.doubled == ()
    _check_way_back(old, planned)
    return planned


def check_noop(before: Texts, *made_of: Step | Patch) -> None:
    """The steps accept `before` and change nothing in it."""
    planned = plan(_files(before), _patches(made_of))
    assert planned.conflicts == ()
    assert planned.edits == {}


def check_refused(before: Texts, *made_of: Step | Patch) -> Reason:
    """The steps refuse `before` for one reason, which comes back."""
    planned = plan(_files(before), _patches(made_of))
    assert planned.edits == {}
    (reason,) = planned.conflicts
    return reason


def is_insertion(before: str, after: str) -> bool:
    """Whether every line of `before` stands, in its order, in `after`."""
    rest = iter(after.splitlines())
    return all(line in rest for line in before.splitlines())


def _files(texts: Texts) -> dict[str, bytes]:
    named = {FILE: texts} if isinstance(texts, str) else texts
    return {file: dedent(text).encode() for file, text in named.items()}


def _patches(made_of: tuple[Step | Patch, ...]) -> list[Patch]:
    steps = [one for one in made_of if not isinstance(one, Patch)]
    patches = [one for one in made_of if isinstance(one, Patch)]
    return [*patches, patch_of(*steps)] if steps else patches


def _check_way_back(old: Mapping[str, bytes], planned: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder), "wheel")
        for file, data in old.items():
            tree.path(file).parent.mkdir(parents=True, exist_ok=True)
            tree.path(file).write_bytes(data)
        (tree.home / "sglang").mkdir(exist_ok=True)
        there = journal.between(None, manifest_of(tree, "test", planned, None))
        with locked(tree):
            journal.execute(tree, there)
            for file, data in planned.edits.items():
                assert tree.read(file) == data
            journal.execute(tree, there.reversed())
        left = {p for p in tree.home.rglob("*") if p.is_file()}
        assert left == {tree.path(file) for file in old}
        assert {file: tree.read(file) for file in old} == dict(old)
