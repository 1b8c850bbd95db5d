"""A ptxas that refuses: what a tree does on a GPU where no kernel compiles.

With every gate as a server has it, and with each fallback by itself: all modes must leave
what the originals leave, bit for bit, after one attempt to compile and one warning.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from patches.shared.evidence import NO_KERNEL
from verify.cases.case import Baseline, Question, judge
from verify.cases.run import POISONS, Setup
from verify.outcome import Different, Identical
from verify.routes import DEFAULTS, OFF, Route, available
from verify.sides.process import Worker, WorkerDied
from verify.sides.snapshot import snapshot
from verify.sides.source import resolve

WARNING = "NSA metadata kernel does not work and is not used"
COMPILES = "triton.compile"
SCENARIOS = {
    "decode": "decode:n4:p64:fa3",
    "decode@runner": "decode@runner:n4:p64:flashmla_kv",
    "target_verify": "target_verify:n1:p64:fa3",
    "draft_extend": "draft_extend:n1:p64:flashmla_kv",
}
SHAPES = ("s64:r64:c1,8:x2304:k2048:d4:tour6", "s32:r32:c1,40:x2500:k64:d4:recapture4")


def main() -> int:
    """0: it falls back once and to the same bytes; 1: not so."""
    parser = argparse.ArgumentParser(prog="ci/refused", description=__doc__)
    parser.add_argument("tree", type=Path, help="0.5.6.post2 or older, patched")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    pair = resolve(options.tree, None, lambda line: None)
    began, bad = time.monotonic(), 0
    with TemporaryDirectory(prefix="nsa-refused-") as name:
        work = Path(name)
        snapshot(pair.baseline, pair.candidate, work / "old")
        snapshot(pair.candidate, pair.baseline, work / "new")
        setup = Setup(work / "old", work / "new", device=options.device)
        with setup.worker("baseline", dict(OFF)) as old:
            baseline = Baseline(old)
            for number, members in enumerate(_groups(pair.candidate.patches())):
                line, good = _group(setup, baseline, members, work / str(number))
                print(line, flush=True)
                bad += not good
    print(f"{'FAILED' if bad else 'fell back once, to the same bytes'}, "
          f"in {time.monotonic() - began:.0f} s")  # fmt: skip
    return 1 if bad else 0


def _groups(patches: frozenset[str]) -> Iterator[list[Route]]:
    """Routes that one server would have: what nobody configured, and each fallback."""
    found = available(patches)
    usual = [r for r in found if r.name == DEFAULTS and set(r.modes) <= set(SCENARIOS)]
    yield [replace(r, must=(), must_not=NO_KERNEL, every=None) for r in usual]
    for route in found:
        if COMPILES in route.blocked:
            yield [replace(route, blocked=())]


def _group(
    setup: Setup, baseline: Baseline, members: list[Route], folder: Path
) -> tuple[str, bool]:
    """What a server does that cannot compile, in words, and whether that is right."""
    folder.mkdir()
    log = folder / "refused"
    env = {
        **members[0].env,
        "TRITON_PTXAS_PATH": str(_refusing(folder, log)),
        "TRITON_CACHE_DIR": str(folder / "cache"),
    }
    cases = buffers = 0
    wrong, warnings = [], 0
    modes = [(route, mode) for route in members for mode in route.modes]
    with setup.worker("candidate", env) as worker:
        for route, mode in modes:
            for shape, poison in zip(SHAPES, POISONS, strict=True):
                text = f"{SCENARIOS[mode]}:{shape}"
                asked = Question(text, mode, route, False, 0, poison)
                outcome = judge(baseline, worker, asked)
                cases += 1
                if isinstance(outcome, Identical):
                    buffers += outcome.buffers
                else:
                    wrong.append(f"{mode}: {_words(outcome)}")
        with suppress(WorkerDied):  # that is among what is wrong
            warnings = _warnings(worker, asked)
    attempts = len(log.read_text().splitlines()) if log.exists() else 0
    name = f"{members[0].label} ({', '.join(mode for _, mode in modes)})"
    line = (
        f"{name}: {cases - len(wrong)} of {cases} cases identical, {buffers:,} buffers; "
        f"{attempts} attempt(s) to compile, {warnings} warning(s)"
    )
    return "\n  ".join([line, *wrong]), not wrong and attempts == warnings == 1


def _warnings(worker: Worker, asked: Question) -> int:
    """How many different lines the tree logged of it by now, and after one play more."""
    said = worker.ask(**asked.new)["warnings"]
    return sum(WARNING in line for line in said)


def _refusing(folder: Path, log: Path) -> Path:
    """A ptxas that says its version, as Triton asks, and refuses everything else."""
    triton = importlib.util.find_spec("triton")
    assert triton is not None, "needs Triton"
    assert triton.submodule_search_locations is not None
    own = Path(triton.submodule_search_locations[0]) / "backends/nvidia/bin/ptxas"
    real = own if own.exists() else shutil.which("ptxas")
    script = folder / "ptxas"
    script.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" --version "*) exec {real} "$@" ;; esac\n'
        f"echo asked >>{log}\n"
        "echo 'refused' >&2\n"
        "exit 1\n"
    )
    script.chmod(0o755)
    return script


def _words(outcome: object) -> str:
    if isinstance(outcome, Different):
        return outcome.differences[0].line()
    return str(outcome)


if __name__ == "__main__":
    sys.exit(main())
