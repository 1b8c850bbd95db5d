"""Times the tools against their budget, and apply-nsa-opt against `git apply`.

Prints two tables; exits 1 when something is over its budget or a release is not patched.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

COMMANDS = ("checkout", "apply", "verify", "bench", "rollback")
MADE_ON = "0.5.6.post2"
RELEASES = ("0.5.4", "0.5.4.post3", "0.5.5", "0.5.5.post3", "0.5.6", MADE_ON)
TIMES = 3


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the commands; its words are shown only where it fails unexpectedly."""
    command = [f"{name}-nsa-opt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def need(done: subprocess.CompletedProcess[str]) -> None:
    """Ends the run with what a failed step said."""
    if done.returncode:
        said = "\n".join(
            [*done.stdout.splitlines()[-3:], *done.stderr.splitlines()[-3:]]
        )
        sys.exit(f"{' '.join(done.args)} ended with {done.returncode}\n{said}")


def seconds(run: Callable[[], object], times: int = TIMES) -> float:
    """The median of a few runs."""
    taken = []
    for _ in range(times):
        began = time.monotonic()
        run()
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def git(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Git in the tree, its output kept."""
    return subprocess.run(
        ["git", "-C", str(tree), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def budget(tree: Path) -> Iterator[tuple[str, float, float]]:
    """(what, seconds, budget) for every step of a user's road through one tree."""
    for name in COMMANDS:
        taken = seconds(lambda n=name: need(tool(n, "--help")))
        yield f"{name}-nsa-opt --help", taken, 0.5
    plan = seconds(lambda: tool("apply", tree, "--check"))
    yield "apply-nsa-opt --check (plan only)", plan, 2.0
    applied, undone = [], []
    for _ in range(TIMES):
        applied.append(seconds(lambda: need(tool("apply", tree)), 1))
        undone.append(seconds(lambda: need(tool("rollback", tree)), 1))
    yield "apply-nsa-opt", statistics.median(applied), 2.0
    yield "rollback-nsa-opt", statistics.median(undone), 2.0
    need(tool("apply", tree))
    verify = seconds(lambda: need(tool("verify", tree, "--device", "cpu")), 1)
    yield "verify-nsa-opt, all routes, on the CPU", verify, 60.0


def contents(tree: Path) -> dict[str, bytes]:
    """Every file that differs from the commit, new ones included."""
    named = git(tree, "status", "--porcelain", "--untracked-files=all").stdout
    files = [line[3:] for line in named.splitlines()]
    return {file: (tree / file).read_bytes() for file in files}


def compare(release: str, diff: Path, work: Path) -> tuple[str, str]:
    """What `git apply` of the diff and what apply-nsa-opt make of a pristine release."""
    tree = work / release
    need(tool("checkout", release, tree))
    by_git = git(tree, "apply", str(diff))
    found = contents(tree)
    git(tree, "checkout", "--quiet", "--", ".")
    git(tree, "clean", "--quiet", "--force", "-d")
    ours = tool("apply", tree)
    same = found == contents(tree)
    shutil.rmtree(tree)
    if by_git.returncode:
        errors = [
            line for line in by_git.stderr.splitlines() if "does not apply" in line
        ]
        theirs = f"refused ({len(errors)} of its files do not apply)"
    else:
        theirs = "patched" if same else "patched, but not as the release needs it"
    return theirs, "refused" if ours.returncode else "patched"


def main() -> int:
    """Runs every step and prints its time; 1 if one is over its budget."""
    with tempfile.TemporaryDirectory(prefix="nsa-budget-") as folder:
        work = Path(folder)
        tree = work / "tree"
        need(tool("checkout", MADE_ON, tree))
        over = False
        print(f"{'step':42} {'seconds':>8} {'budget':>7}")
        for what, taken, allowed in budget(tree):
            over |= taken > allowed
            late = "  OVER" if taken > allowed else ""
            print(f"{what:42} {taken:8.2f} {allowed:7.1f}{late}", flush=True)
        git(tree, "add", "--intent-to-add", ".")
        diff = work / "changes.diff"
        diff.write_text(git(tree, "diff").stdout)
        print(f"\n{'release':12} {'git apply, same diff':45} apply-nsa-opt")
        results = {release: compare(release, diff, work) for release in RELEASES}
        for release, (theirs, ours) in results.items():
            print(f"{release:12} {theirs:45} {ours}")
        counts = [
            sum(pair[i] == "patched" for pair in results.values()) for i in (0, 1)
        ]
        print(f"{'patched':12} {f'{counts[0]} of {len(RELEASES)}':45} {counts[1]} of 6")
    return int(over or counts[1] < len(RELEASES))


if __name__ == "__main__":
    sys.exit(main())
