"""Breaks apply and rollback at every single call that changes the disk.

Each command runs in a child process, once for every such call and every kind of fault:
the call fails, or the process is killed before, after or in the midst of it. Then one
more command runs undisturbed and must reach the original or the fully applied state,
judged by the hash and mode of every file.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patcher.apply import apply
from patcher.disk import fs
from patcher.results import Refusal
from patcher.rollback import rollback
from patcher.tree import pins
from patcher.tree.find import Tree
from tests.patcher.lookalike import KERNEL, patches, pins_data, snapshot, write_tree

CALLS = [
    "open",
    "write",
    "fsync",
    "fchmod",
    "fchown",
    "replace",
    "unlink",
    "mkdir",
    "rmdir",
    "ftruncate",
    "pwrite",
]
ERRORS = ("ENOSPC", "EACCES", "EIO")
KINDS = (
    *ERRORS,
    "disk full from here on",
    "read-only from here on",
    "no permission for this file",
    "kill before",
    "kill after",
    "kill midway",
)
NEEDS_ROOM = {"write", "mkdir", "pwrite"}


class FaultyOs:
    """Stands in for `os` in `patcher.disk.fs`, and breaks the n-th call that changes disk."""

    def __init__(self, at: int, kind: str) -> None:
        self.at = at
        self.kind = kind
        self.count = 0
        self.struck: object = None

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._watched(name, real) if name in CALLS else real

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self._strike(name, arguments)
            elif self.count > self.at > 0:
                self._linger(name, arguments)
            result = real(*arguments, **more)
            if self.count == self.at and self.kind == "kill after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def _strike(self, name: str, arguments: Sequence[Any]) -> None:
        self.struck = arguments[0]
        if self.kind in ERRORS:
            self._fail(getattr(errno, self.kind), arguments)
        self._linger(name, arguments)
        if self.kind == "kill midway" and name in ("write", "pwrite"):
            handle, data, *_ = arguments
            os.write(handle, bytes(data)[: len(data) // 2])
        if self.kind in ("kill before", "kill midway"):
            os.kill(os.getpid(), signal.SIGKILL)

    def _linger(self, name: str, arguments: Sequence[Any]) -> None:
        makes = name == "open" and arguments[1] & os.O_CREAT
        if self.kind == "disk full from here on" and (makes or name in NEEDS_ROOM):
            self._fail(errno.ENOSPC, arguments)
        if self.kind == "read-only from here on":
            self._fail(errno.EROFS, arguments)
        if self.kind == "no permission for this file" and arguments[0] == self.struck:
            self._fail(errno.EACCES, arguments)

    def _fail(self, code: int, arguments: Sequence[Any]) -> None:
        place = arguments[0] if isinstance(arguments[0], Path) else None
        raise OSError(code, os.strerror(code), place and str(place))


Command = Callable[[Tree], object]

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


CASES = (
    Case("apply", (), ALL),
    Case("apply more", (SOME,), ALL),
    Case("rollback", (ALL,), NONE),
    Case("rollback one patch", (ALL,), FEWER),
)


@dataclass
class Tally:
    """What became of one kind of fault, over every place where it can strike."""

    points: int = 0
    states: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def meaningful(tree: Tree) -> dict[str, tuple[str, int]]:
    """The tree without what a cut-off command may leave in the state folder."""
    ends = ("/.nsa-opt", "/.gitignore", "/lock", ".tmp")
    return {
        path: seen
        for path, seen in snapshot(tree.home).items()
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
        self.full = self._made("full", (ALL,))
        self.proved: set[frozenset[object]] = set()
        self.snapshots = {
            "before": meaningful(self.start),
            "after": meaningful(self.goal),
        }

    def _made(self, name: str, commands: Sequence[Command]) -> Tree:
        tree = write_tree(self.folder / name)
        tree.path(KERNEL).parent.rmdir()
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


def run_child(tree: Tree, command: Command, at: int, kind: str) -> tuple[int, int]:
    """The child's wait status, and how many calls it made (when it lived)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        faulty = FaultyOs(at, kind)
        fs.os = faulty  # type: ignore[assignment]
        try:
            command(tree)
            code = 0
        except Refusal as refusal:
            code = int(refusal.code)
        except BaseException as error:
            print(f"{kind} at {at}: {error!r}", file=sys.stderr)
            code = 99
        os.write(writer, str(faulty.count).encode())
        os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    told = os.read(reader, 16)
    os.close(reader)
    return status, int(told or b"0")


def strike(ground: Ground, at: int, kind: str, tally: Tally) -> None:
    """Breaks the command at one call, then checks both ways on from there."""
    tree = ground.copy()
    status, _ = run_child(tree, ground.case.broken, at, kind)
    code = os.waitstatus_to_exitcode(status)
    state = ground.state(tree)
    tally.points += 1
    tally.states[state] += 1
    where = f"{ground.case.name}, {kind}, call {at}"
    if code == 0 and state != "after":
        tally.bad.append(f"{where}: exit 0, but {state}")
    if kind in ERRORS and state == "between":
        tally.bad.append(f"{where}: an error left it half way")
    if code not in (0, 4, -signal.SIGKILL):
        tally.bad.append(f"{where}: exit {code}")
    seen = frozenset(snapshot(tree.home).items())
    if seen not in ground.proved:
        tally.bad += [f"{where}: {what}" for what in go_on(ground, tree)]
        ground.proved.add(seen)


def go_on(ground: Ground, tree: Tree) -> Iterator[str]:
    """What is wrong after one more command, for either way to go."""
    cut_off = ground.folder / "cut-off"
    shutil.rmtree(cut_off, ignore_errors=True)
    shutil.copytree(tree.home, cut_off)
    for command, wanted in ((NONE, ground.original), (ALL, ground.full)):
        shutil.rmtree(tree.home)
        shutil.copytree(cut_off, tree.home)
        command(tree)
        if snapshot(tree.home) != snapshot(wanted.home):
            yield f"the next command did not reach the {wanted.home.name} tree"


def survey(
    kinds: Sequence[str], cases: Sequence[Case]
) -> Iterator[tuple[str, str, Tally]]:
    """Every case, every kind of fault, every call."""
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(Path(folder), case)
            _, calls = run_child(ground.copy(), case.broken, 0, "")
            assert calls > 20, calls
            for kind in kinds:
                tally = Tally()
                for at in range(1, calls + 1):
                    strike(ground, at, kind, tally)
                yield case.name, kind, tally


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if anything was bad."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append", default=[])
    parser.add_argument(
        "--case", choices=[case.name for case in CASES], action="append", default=[]
    )
    options = parser.parse_args(argv)
    cases = [case for case in CASES if case.name in options.case] or CASES
    data = pins_data()
    pins._data = lambda: data  # type: ignore[assignment]
    columns = "{:20} {:24} {:>6} {:>7} {:>6} {:>8} {:>4}"
    head = ("command", "fault", "points", "before", "after", "between", "bad")
    print(columns.format(*head))
    total = Tally()
    for case, kind, tally in survey(options.kind or KINDS, cases):
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
