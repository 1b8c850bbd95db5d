"""Commands side by side on one tree: one works, the others say that it does."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from patcher import apply as applying
from patcher.apply import apply
from patcher.disk import fs, journal, manifest, packed, preconditions
from patcher.disk.journal import Change, Journal
from patcher.disk.lock import locked
from patcher.results import Applied, Exit, Reason, Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import BACKEND, patches, snapshot, write_tree

TORN = Refusal(Reason(BACKEND, "", "read half way through another's writing"))
CUT_OFF = Journal(changes=(Change(path=BACKEND, old=b"", new=b"1", mode=0o644),))


def long_ago(tree: Tree) -> None:
    """Nobody wrote lately: what changes from here on has another time."""
    for folder in (tree.state.parent, tree.state):
        if folder.exists():
            os.utime(folder, (1, 1))


def test_a_refused_plan_with_nobody_else_is_refused(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*args: object, **kwargs: object) -> object:
        raise TORN

    monkeypatch.setattr(applying, "prepare", plan)
    with pytest.raises(Refusal, match="half way"):
        apply(tree, (), patches())


def test_a_refused_plan_is_no_reason_once_another_has_written(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = applying.prepare

    def plan(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(applying, "prepare", real)
        apply(tree, ["once"], patches())
        rollback(tree)  # leaves nothing behind that tells of it
        raise TORN

    monkeypatch.setattr(applying, "prepare", plan)
    long_ago(tree)
    with pytest.raises(Refusal, match="another command changed the tree"):
        apply(tree, (), patches())


def test_a_refused_plan_is_no_reason_while_another_writes(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as other:

        def plan(*args: object, **kwargs: object) -> object:
            other.enter_context(locked(tree))
            raise TORN

        monkeypatch.setattr(applying, "prepare", plan)
        with pytest.raises(Refusal, match=f"process {os.getpid()}.* holds the tree"):
            apply(tree, (), patches())


def test_a_rollback_is_as_careful(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(tree, ["once"], patches())

    def check(*args: object) -> None:
        with locked(tree):
            pass
        raise TORN

    monkeypatch.setattr(preconditions, "state_of", check)
    long_ago(tree)
    with pytest.raises(Refusal, match="another command changed the tree"):
        rollback(tree)


def test_a_dry_run_tells_a_command_at_work_from_one_cut_off(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tree.state / journal.NAME
    with locked(tree):
        file.write_bytes(packed.dump(CUT_OFF))
        with pytest.raises(Refusal, match="holds the tree"):
            apply(tree, (), patches(), dry=True)
    with pytest.raises(Refusal, match="was cut off half way"):
        apply(tree, (), patches(), dry=True)
    monkeypatch.setattr(preconditions, "require_free", lambda tree: file.unlink())
    with pytest.raises(Refusal, match="another command changed the tree"):
        apply(tree, (), patches(), dry=True)


def test_a_command_that_ends_meanwhile_was_not_cut_off(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [CUT_OFF]
    real = journal.pending
    monkeypatch.setattr(
        journal, "pending", lambda tree: answers.pop() if answers else real(tree)
    )
    result = apply(tree, (), patches())
    assert isinstance(result, Applied)
    assert result.notes == ()


def test_the_folder_may_go_before_the_lock_is_made(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = fs.claim, []

    def claim(path: Path) -> int:
        calls.append(path)
        if len(calls) < 3:
            path.parent.rmdir()
        return real(path)

    monkeypatch.setattr(fs, "claim", claim)
    with locked(tree):
        assert len(calls) == 3
        assert sorted(os.listdir(tree.state)) == [".gitignore", "lock"]
    assert not tree.state.exists()


def test_a_package_that_goes_is_a_message(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fs.claim

    def claim(path: Path) -> int:
        shutil.rmtree(tree.state.parent)
        return real(path)

    monkeypatch.setattr(fs, "claim", claim)
    with (
        pytest.raises(Refusal, match="cannot be written: No such file") as refused,
        locked(tree),
    ):
        pass
    assert refused.value.code == Exit.UNAVAILABLE


def test_a_folder_that_another_made_first_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(path: Path, mode: int) -> None:
        raise FileExistsError(path)

    monkeypatch.setattr(os, "mkdir", taken)
    fs.mkdir(tmp_path / "and gone again")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        fs.mkdir(tmp_path / "file")


HOLD = """
import sys, time
from pathlib import Path
from patcher.disk.lock import locked
from patcher.tree.find import Tree
with locked(Tree(Path(sys.argv[1]), "wheel")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_command_says_who_holds_the_tree(tree: Tree) -> None:
    before = snapshot(tree.home)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tree.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Refusal) as refusal:
            apply(tree, (), patches())
        holder.communicate("")
    what = f"another nsa-opt command (process {holder.pid}) holds the tree"
    assert refusal.value.reasons[0].what == what
    assert refusal.value.code == Exit.REFUSED
    assert snapshot(tree.home) == before


def test_a_lock_whose_file_went_away_is_taken_anew(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = fcntl.flock, []

    def flock(handle: int, how: int) -> None:
        real(handle, how)
        calls.append(handle)
        if len(calls) == 1:
            os.unlink(tree.state / "lock")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tree):
        assert len(calls) == 2
        assert (tree.state / "lock").read_text() == f"{os.getpid()}\n"


def test_an_apply_in_between_is_noticed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal.between

    def meanwhile(*manifests: object) -> object:
        monkeypatch.setattr(journal, "between", real)
        apply(tree, ["once"], patches())
        return real(*manifests)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "between", meanwhile)
    with pytest.raises(Refusal, match="another command changed the tree"):
        apply(tree, (), patches())
    applied = manifest.load(tree)
    assert applied is not None
    assert applied.names == ("once",)


def test_an_edit_in_between_is_noticed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal.between

    def meanwhile(*manifests: object) -> object:
        tree.path(BACKEND).write_text("mine = 1\n")
        return real(*manifests)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "between", meanwhile)
    with pytest.raises(Refusal, match="was edited just now"):
        apply(tree, (), patches())
    assert tree.path(BACKEND).read_text() == "mine = 1\n"


AT_ONCE = """
import random, sys
from pathlib import Path
from patcher.tree import pins
from patcher.apply import apply
from patcher.results import Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher import lookalike
data = lookalike.pins_data()
pins._data = lambda: data
tree, seed, rounds = Tree(Path(sys.argv[1]), "wheel"), *map(int, sys.argv[2:])
commands = [
    lambda: apply(tree, (), lookalike.patches()),
    lambda: apply(tree, ["wide"], lookalike.patches()),
    lambda: apply(tree, (), lookalike.patches(), dry=True),
    lambda: rollback(tree),
]
for command in [commands[0]] + random.Random(seed).choices(commands, k=rounds):
    try:
        result = command()
        print(type(result).__name__, *result.notes)
    except Refusal as refusal:
        print(refusal)
"""


def many_at_once(tree: Tree, rounds: int) -> list[str]:
    """What four processes print that change the tree side by side, in `rounds` + 1."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(tree.home), str(seed), str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    said = [process.communicate()[0].splitlines() for process in processes]
    assert [len(lines) for lines in said] == [rounds + 1] * 4, said
    return [line for lines in said for line in lines]


def test_many_at_once_make_one_apply(tree: Tree, tmp_path: Path) -> None:
    said = many_at_once(tree, 0)
    assert said.count("Applied") == 1, said
    other = write_tree(tmp_path / "other")
    apply(other, (), patches())
    assert snapshot(tree.home) == snapshot(other.home)


def test_many_at_once_never_mistake_each_other_for_damage(tree: Tree) -> None:
    original = snapshot(tree.home)
    said = many_at_once(tree, 60)
    done = "Applied|AlreadyApplied|WouldApply|RolledBack|NothingToDo"
    refused = (
        "another nsa-opt command .*holds the tree|another command changed the tree"
    )
    strange = [line for line in said if not re.fullmatch(f"{done}|{refused}", line)]
    assert not strange, strange
    assert {"Applied", "RolledBack"} <= set(said)
    rollback(tree)
    assert snapshot(tree.home) == original
