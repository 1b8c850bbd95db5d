from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.disk import fs, journal
from patcher.disk.journal import between
from patcher.disk.state import state_of
from patcher.plan.prepare import prepare
from patcher.results import AlreadyApplied, Refusal, RolledBack
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import BACKEND, ENVIRON, patches, snapshot


class Killed(BaseException):
    """Nothing that the patcher catches."""


def cut_off(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves an apply half way: one file swapped, the journal in place."""
    done = []

    def once(source: Path, target: Path) -> None:
        if target.name.endswith(".py") and done:
            raise Killed
        if target.name.endswith(".py"):
            done.append(target)
        os.replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(fs, "replace", once)
        with pytest.raises(Killed):
            apply(tree, (), patches())
    assert journal.pending(tree) is not None


def test_apply_finishes_what_was_cut_off(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(tree, monkeypatch)
    result = apply(tree, (), patches())
    assert isinstance(result, AlreadyApplied)
    assert result.notes == ("finished a command that had been cut off half way",)
    assert journal.pending(tree) is None


def test_rollback_finishes_it_and_goes_on(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(tree.home)
    cut_off(tree, monkeypatch)
    assert isinstance(rollback(tree), RolledBack)
    assert snapshot(tree.home) == before


def test_a_dry_run_on_a_half_applied_tree_is_refused(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(tree, monkeypatch)
    before = snapshot(tree.home)
    with pytest.raises(Refusal, match="half patched"):
        apply(tree, (), patches(), dry=True)
    assert snapshot(tree.home) == before


@pytest.mark.parametrize("file", [BACKEND, ENVIRON])
def test_an_edit_after_a_cut_off_is_not_overwritten(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    cut_off(tree, monkeypatch)
    tree.path(file).write_text("mine = 1\n")
    before = snapshot(tree.home)
    with pytest.raises(Refusal) as refusal:
        rollback(tree)
    assert refusal.value.reasons[0].file == file
    assert (
        snapshot(tree.home).items()
        >= {
            path: seen for path, seen in before.items() if "nsa-opt" not in path
        }.items()
    )


def test_a_journal_undone_is_the_way_back(tree: Tree) -> None:
    prepared = prepare(state_of(tree), patches(), lambda pin, there: patches())
    there = between(None, prepared.new)
    assert there.reversed() == between(prepared.new, None).model_copy(
        update={"changes": there.reversed().changes}
    )
    assert there.reversed().reversed() == there


WATCH = """
import json, os, sys
from pathlib import Path
import libcst
from patcher.tree import pins
from patcher.apply import apply
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher import lookalike

lookalike.patches()
data = lookalike.pins_data()
pins._data = lambda: data
written = []

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, Path)):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(str(arguments[0]))
    elif event in ("os.rename", "os.link", "os.symlink"):
        written.extend(str(a) for a in arguments[:2])
    elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"):
        if not isinstance(arguments[0], int):
            written.append(str(arguments[0]))

tree = Tree(Path(sys.argv[1]), "wheel")
sys.addaudithook(hook)
apply(tree, (), lookalike.patches())
rollback(tree, ["fast"], lookalike.patches)
rollback(tree)
print(json.dumps(written))
"""


def test_nothing_outside_the_package_is_ever_written(tree: Tree) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, str(tree.home)],
        capture_output=True,
        text=True,
        check=True,
    )
    written = [path for path in json.loads(done.stdout) if path != "/dev/null"]
    assert len(written) > 30
    package = f"{tree.home}/sglang/"
    assert [path for path in written if not path.startswith(package)] == []
