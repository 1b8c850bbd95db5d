"""Breaks apply and rollback at every single call that changes the disk or the repository.

Each command runs in a child process, once for every such call and every kind of fault:
the call fails, or the process is killed before, after or in the midst of it. Then one
more command runs undisturbed and must reach the original or the fully applied state,
judged by the hash and mode of every file, and by git's HEAD and index. What a file system
does not know (owners, folder syncs, locks) must not matter at all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patcher.apply import apply
from patcher.results import Refusal
from patcher.rollback import rollback
from patcher.tree import pins
from patcher.tree.find import Tree
from tests.patcher.disk.faulty_os import ERRORS, KINDS, UNKNOWN, FaultyOs
from tests.patcher.lookalike import KERNEL, patches, pins_data, snapshot, write_tree

Command = Callable[[Tree], object]

COMMIT: Command = lambda tree: apply(tree, (), patches(), commit=True)  # noqa: E731
REVERT: Command = lambda tree: rollback(tree, revert=True)  # noqa: E731
ALL: Command = lambda tree: apply(tree, (), patches())  # noqa: E731
NONE: Command = lambda tree: rollback(tree)  # noqa: E731
SOME: Command = lambda tree: apply(tree, ["once"], patches())  # noqa: E731
FEWER: Command = lambda tree: rollback(tree, ["fast"], patches)  # noqa: E731


@dataclass(frozen=True)
class Case:
    """A command to break, what leads up to it, and where it goes when it works."""

    name: str
    before: tuple[Command, ...]
    broken: Command
    repository: bool = False


CASES = (
    Case("apply", (), ALL),
    Case("apply more", (SOME,), ALL),
    Case("rollback", (ALL,), NONE),
    Case("rollback one patch", (ALL,), FEWER),
    Case("apply --commit", (), COMMIT, repository=True),
    Case("rollback --revert", (COMMIT,), REVERT, repository=True),
)


@dataclass
class Tally:
    """What became of one kind of fault, over every place where it can strike."""

    points: int = 0
    states: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def view(tree: Tree, home: Path) -> dict[str, Any]:
    """The files with their modes, and what git has: HEAD's tree, the index, the rest."""
    found: dict[str, Any] = {
        path: seen
        for path, seen in snapshot(home).items()
        if not path.startswith(".git/") and path != ".git"
    }
    if (home / ".git").exists():
        asked = "git rev-parse HEAD^{tree} && git ls-files -s && git status --porcelain"
        done = subprocess.run(
            asked, shell=True, cwd=home, capture_output=True, text=True, check=True
        )
        found["git"] = done.stdout
    return found


def identify_committer() -> None:
    """No setting of the machine's counts; a committer is known."""
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_NAME": "A", f"GIT_{role}_EMAIL": "a@b"}
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def begin(tree: Tree) -> None:
    """Makes the tree a repository of one commit."""
    for command in (
        "init --quiet --initial-branch=main",
        "add --all",
        "commit --quiet -m Start",
    ):
        subprocess.run(["git", *command.split()], cwd=tree.home, check=True)


def meaningful(tree: Tree) -> dict[str, tuple[str, int]]:
    """The tree without what a cut-off command may leave in the state folder."""
    ends = ("/.nsa-opt", "/.gitignore", "/lock", ".tmp")
    return {
        path: seen
        for path, seen in view(tree, tree.home).items()
        if not ("/.nsa-opt" in path and path.endswith(ends))
    }


class Ground:
    """A folder with the trees of one case, ready made.

    `proved` holds the states from which one more command has been tried: what a command
    does depends on the tree alone.
    """

    def __init__(self, folder: Path, case: Case) -> None:
        self.folder = folder
        self.case = case
        self.original = self._made("original", ())
        self.start = self._made("start", case.before)
        self.goal = self._made("goal", (*case.before, case.broken))
        self.full = self._made("full", (COMMIT if case.repository else ALL,))
        self.proved: set[frozenset[object]] = set()
        self.snapshots = {
            "before": meaningful(self.start),
            "after": meaningful(self.goal),
        }

    def _made(self, name: str, commands: Sequence[Command]) -> Tree:
        tree = write_tree(self.folder / name)
        tree.path(KERNEL).parent.rmdir()
        if self.case.repository:
            begin(tree)
        for command in commands:
            command(tree)
        return tree

    def copy(self) -> Tree:
        """A fresh copy of the tree as it is before the command."""
        target = self.folder / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.start.home, target)
        return Tree(target, "wheel")

    def state(self, tree: Tree) -> str:
        """`before` or `after` the command, or `between`."""
        now = meaningful(tree)
        return next((n for n, s in self.snapshots.items() if s == now), "between")


def run_child(
    tree: Tree, command: Command, at: int, kind: str
) -> tuple[int, list[str]]:
    """The child's wait status, and the calls that it made (when it lived)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        faulty = FaultyOs(at, kind)
        faulty.take_over()
        try:
            command(tree)
            code = 0
        except Refusal as refusal:
            code = int(refusal.code)
        except BaseException as error:
            print(f"{kind} at {at}: {error!r}", file=sys.stderr)
            code = 99
        if kind in UNKNOWN and not faulty.struck:
            code = 98  # it never got there
        os.write(writer, ",".join(faulty.called).encode())
        os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    told = os.read(reader, 1 << 16).decode()
    os.close(reader)
    return status, told.split(",")


def strike(ground: Ground, at: int, kind: str, tally: Tally) -> None:
    """Breaks the command at one call, then checks both ways on from there."""
    tree = ground.copy()
    status, _ = run_child(tree, ground.case.broken, at, kind)
    code = os.waitstatus_to_exitcode(status)
    state = ground.state(tree)
    if kind in UNKNOWN and (code, state) != (0, "after"):
        tally.bad.append(f"{ground.case.name}, {kind}: exit {code}, {state}")
    tally.points += 1
    tally.states[state] += 1
    where = f"{ground.case.name}, {kind}, call {at}"
    if code == 0 and state != "after":
        tally.bad.append(f"{where}: exit 0, but {state}")
    if kind in ERRORS and state == "between":
        tally.bad.append(f"{where}: an error left it half way")
    if code not in (0, 4, -signal.SIGKILL):
        tally.bad.append(f"{where}: exit {code}")
    seen = frozenset(view(tree, tree.home).items())
    if seen not in ground.proved:
        tally.bad += [f"{where}: {what}" for what in go_on(ground, tree)]
        ground.proved.add(seen)


def go_on(ground: Ground, tree: Tree) -> Iterator[str]:
    """What is wrong after one more command, for either way to go."""
    cut_off = ground.folder / "cut-off"
    shutil.rmtree(cut_off, ignore_errors=True)
    shutil.copytree(tree.home, cut_off)
    ways = ((NONE, ground.original), (ALL, ground.full))
    if ground.case.repository:
        ways = ((ground.case.broken, ground.goal), (COMMIT, ground.full))
    for command, wanted in ways:
        shutil.rmtree(tree.home)
        shutil.copytree(cut_off, tree.home)
        command(tree)
        if view(tree, tree.home) != view(wanted, wanted.home):
            yield f"the next command did not reach the {wanted.home.name} tree"


def survey(
    kinds: Sequence[str], cases: Sequence[Case]
) -> Iterator[tuple[str, str, Tally]]:
    """Every case, every kind of fault, every call."""
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(Path(folder), case)
            _, calls = run_child(ground.copy(), case.broken, 0, "")
            assert len(calls) > 20, calls
            points = range(1, len(calls) + 1)
            if case.repository:  # the disk's own calls are broken in the other cases
                points = [at for at in points if calls[at - 1] == "git"]
            for kind in kinds:
                tally = Tally()
                for at in [0] if kind in UNKNOWN else points:
                    strike(ground, at, kind, tally)
                yield case.name, kind, tally


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if anything was bad."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--kind", choices=(*KINDS, *UNKNOWN), action="append", default=[]
    )
    parser.add_argument(
        "--case", choices=[case.name for case in CASES], action="append", default=[]
    )
    options = parser.parse_args(argv)
    cases = [case for case in CASES if case.name in options.case] or CASES
    data = pins_data()
    pins._data = lambda: data  # type: ignore[assignment]
    identify_committer()
    columns = "{:20} {:32} {:>6} {:>7} {:>6} {:>8} {:>4}"
    head = ("command", "fault", "points", "before", "after", "between", "bad")
    print(columns.format(*head))
    total = Tally()
    for case, kind, tally in survey(options.kind or (*KINDS, *UNKNOWN), cases):
        states = [tally.states[state] for state in ("before", "after", "between")]
        row = columns.format(case, kind, tally.points, *states, len(tally.bad))
        print(row, flush=True)
        total.points += tally.points
        total.states += tally.states
        total.bad += tally.bad
    states = [total.states[state] for state in ("before", "after", "between")]
    print(columns.format("all", "", total.points, *states, len(total.bad)))
    print("(the state is the one right after the fault; one more command then reached")
    print("the original or the fully applied tree, wherever `bad` is 0)")
    print(*total.bad, sep="\n", end="\n" if total.bad else "", file=sys.stderr)
    return 1 if total.bad else 0


if __name__ == "__main__":
    sys.exit(main())
