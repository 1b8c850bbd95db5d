"""Every combination of patches on one tree: applied, verified in brief, rolled back.

The originals are played once, in one process, for all combinations. A line is printed as
soon as a combination is done, so that a run that is cut off still says what it saw.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from patcher.tree.find import find_tree
from verify.cases.case import Baseline, Question, judge
from verify.cases.run import POISONS, Setup
from verify.outcome import Different, Identical
from verify.routes import MIXED, OFF, Route, available
from verify.sides.snapshot import snapshot
from verify.sides.source import Source, resolve
from verify.worker.scenario import parse

RELEASE = "0.5.6.post2"
PATCHES = (
    "precompute", "fused-decode", "fan-out", "in-graph", "target-verify", "draft-extend",
)  # fmt: skip
SCENARIOS = tuple(
    f"{settings}:s64:r64:c1,3:x2304:k2048:d4:tour3"
    for settings in (
        "decode:n3:p64:fa3",
        "decode@runner:n2:p64:flashmla_kv",
        "decode@plain:n3:p64:flashmla_kv",
        "target_verify:n1:p64:fa3",
        "draft_extend:n1:p1:flashmla_kv",
    )
)


class Failed(Exception):
    """What went wrong with a combination, in words."""


@dataclass(frozen=True)
class Run:
    """What all combinations share."""

    tree: Path
    work: Path
    setup: Setup
    pristine: Source
    baseline: Baseline
    mixed: bool


def main() -> int:
    """0: all are identical and gave the same bytes back; 1: not so."""
    parser = argparse.ArgumentParser(prog="ci/combinations", description=__doc__)
    parser.add_argument(
        "tree", nargs="?", type=Path, help=f"copied, not touched; else {RELEASE}"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument(
        "--patch", action="append", choices=PATCHES, help="only of these; repeatable"
    )
    parser.add_argument(
        "--named", action="store_true",
        help="the routes that patches name, without every mixture of their gates",
    )  # fmt: skip
    options = parser.parse_args()
    names = options.patch or PATCHES
    chosen = [c for n in range(1, 1 + len(names)) for c in combinations(names, n)]
    began, bad = time.monotonic(), 0
    with TemporaryDirectory(prefix="nsa-combinations-") as name:
        work = Path(name)
        tree = options.tree or _checkout(work / "tree")
        pristine = Source("originals", RELEASE, find_tree(tree).read)
        snapshot(pristine, pristine, work / "baseline")
        setup = Setup(work / "baseline", work / "baseline", device=options.device)
        with (
            setup.open() as setup,
            setup.worker("baseline", dict(OFF)) as old,
            ThreadPoolExecutor(options.jobs) as pool,
        ):
            run = Run(tree, work, setup, pristine, Baseline(old), not options.named)
            prints = threading.Lock()

            def one(patches: tuple[str, ...]) -> bool:
                started = time.monotonic()
                try:
                    line, good = _one(run, patches), True
                except Exception as error:
                    line, good = f"FAILED: {error or type(error).__name__}", False
                seconds = time.monotonic() - started
                with prints:
                    print(
                        f"{' '.join(patches)}: {line}, in {seconds:.0f} s", flush=True
                    )
                return good

            # The largest first, so that the last one to end is short.
            bad = sum(not good for good in pool.map(one, reversed(chosen)))
    print(
        f"{len(chosen) - bad} of {len(chosen)} combinations identical on "
        f"{options.device} and rolled back to the same bytes, "
        f"in {time.monotonic() - began:.0f} s"
    )
    return 1 if bad else 0


def _checkout(tree: Path) -> Path:
    _command("patcher.cli.checkout", RELEASE, str(tree))
    return tree


def _one(run: Run, patches: tuple[str, ...]) -> str:
    """What was seen of a combination. Raises Failed."""
    folder = run.work / "+".join(patches)
    copy = folder / "tree"
    shutil.copytree(run.tree, copy, symlinks=True)
    before = list(_listing(copy))
    _command("patches.commands", "apply", str(copy), *_each("--patch", patches))
    candidate = resolve(copy, None, lambda line: None).candidate
    if candidate.patches() != set(patches):
        raise Failed(f"the tree has {sorted(candidate.patches())}")
    snapshot(candidate, run.pristine, folder / "candidate")
    line = _verify(run, folder / "candidate", patches)
    _command("patches.commands", "rollback", str(copy))
    if list(_listing(copy)) != before:
        raise Failed("other bytes after the rollback")
    shutil.rmtree(folder)
    return line


def _verify(run: Run, candidate: Path, patches: tuple[str, ...]) -> str:
    groups: dict[object, list[Route]] = {}
    for route in available(patches):
        if run.mixed or not route.name.startswith(MIXED):
            groups.setdefault(route.worker, []).append(route)
    routes = cases = buffers = 0
    for members in groups.values():
        env, blocked = members[0].env, members[0].blocked
        worker_of = Setup(
            run.setup.baseline,
            candidate,
            device=run.setup.device,
            forks=run.setup.forks,
        )
        with worker_of.worker("candidate", env, blocked) as worker:
            for route in members:
                routes += 1
                for mode in route.modes:
                    for text in _scenarios(mode):
                        poison = POISONS[cases % len(POISONS)]
                        asked = Question(text, mode, route, False, 0, poison)
                        outcome = judge(run.baseline, worker, asked)
                        if not isinstance(outcome, Identical):
                            raise Failed(f"{mode}/{route.label}: {_words(outcome)}")
                        cases += 1
                        buffers += outcome.buffers
    return f"{routes} routes, {cases} cases, {buffers:,} buffers identical, rolled back"


def _scenarios(mode: str) -> tuple[str, ...]:
    found = tuple(text for text in SCENARIOS if parse(text).kind == mode)
    assert found, f"no scenario for {mode}"
    return found


def _words(outcome: object) -> str:
    if isinstance(outcome, Different):
        return outcome.differences[0].line()
    return str(outcome)


def _listing(tree: Path) -> Iterator[tuple[str, int, str]]:
    """Every file's path, mode and hash, but git's own."""
    for path in sorted(tree.rglob("*")):
        inside = path.relative_to(tree)
        if path.is_file() and ".git" not in inside.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            yield str(inside), path.stat().st_mode, digest


def _each(option: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _command(module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{module} ended with {done.returncode}: {done.stderr[-500:]}")


if __name__ == "__main__":
    sys.exit(main())
