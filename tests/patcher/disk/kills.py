"""Kills `apply --commit` and `rollback --revert` for real, at random moments.

A child runs the command and gets SIGKILL, alone or with the git that it started. One more
command, the same, must then end in the files, the index and the history of after it; a
look before that must find the tree as before, as after, or half.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from patcher.disk.state import state_of
from patcher.results import Refusal
from patcher.tree import pins
from patcher.tree.find import Tree
from tests.patcher.disk.faults import (
    COMMIT,
    REVERT,
    Case,
    Command,
    Ground,
    identify_committer,
    view,
)
from tests.patcher.git_kit import git
from tests.patcher.lookalike import pins_data

CASES = (
    Case("apply --commit", (), COMMIT, repository=True),
    Case("rollback --revert", (COMMIT,), REVERT, repository=True),
)
LOCKS = ("index.lock", "HEAD.lock", "refs/heads/main.lock")


def start(tree: Tree, command: Command) -> int:
    """Runs the command in a child that leads a group of its own."""
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            command(tree)
            os._exit(0)
        except Refusal:
            os._exit(1)
        except BaseException:
            os._exit(99)
    return child


def duration(ground: Ground) -> float:
    """How long the command takes when nobody kills it."""
    tree, began = ground.copy(), time.monotonic()
    child = start(tree, ground.case.broken)
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - began


def kill(child: int, after: float, *, group: bool) -> bool:
    """Whether the child was alive to be killed; its git has ended when this returns."""
    time.sleep(after)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if not ended:
        with contextlib.suppress(ProcessLookupError):  # it leads no group yet
            if group:
                os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.005)
    return not ended


def history(tree: Tree) -> str:
    """How many commits there are."""
    return git(tree.home, "rev-list", "--count", "HEAD")


def one(ground: Ground, luck: random.Random, takes: float) -> tuple[str, str]:
    """The state after one kill, and what is wrong after one more command."""
    tree = ground.copy()
    child = start(tree, ground.case.broken)
    after = luck.uniform(luck.choice((0, 0.5 * takes)), 1.1 * takes)
    killed = kill(child, after, group=luck.random() < 0.5)
    state = ground.state(tree)
    if state == "between" and state_of(tree).kind not in (
        "half",
        "original",
        "patched",
    ):
        return state, f"the tree is {state_of(tree).kind}"
    for name in LOCKS:  # as git asks of whoever killed it
        (tree.home / ".git" / name).unlink(missing_ok=True)
    ground.case.broken(tree)
    if view(tree, tree.home) != view(ground.goal, ground.goal.home):
        return state, "one more command did not end after it"
    if history(tree) != history(ground.goal):
        return state, f"{history(tree)} commits"
    return state if killed else "not killed", ""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how many kills ended where; 1 if anything was bad."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of both commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    data = pins_data()
    pins._data = lambda: data  # type: ignore[assignment]
    identify_committer()
    luck, bad = random.Random(options.seed), []
    for case in CASES:
        seen: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(Path(folder), case)
            takes = max(duration(ground) for _ in range(2))
            while seen.total() - seen["not killed"] < options.kills // len(CASES):
                state, wrong = one(ground, luck, takes)
                seen[state] += 1
                if wrong:
                    bad.append(f"{case.name}, {seen.total()}, {state}: {wrong}")
                    shutil.rmtree(ground.folder / "copy", ignore_errors=True)
        print(f"{case.name}: {dict(sorted(seen.items()))}")
    print(f"{options.kills} kills, {len(bad)} bad")
    print(*bad, sep="\n", end="\n" if bad else "", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
