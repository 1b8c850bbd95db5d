"""Runs verify's default scenarios against planted bugs until each is caught."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.catalogue import BACKEND, DSA_BACKEND, Mutant
from tests.mutants.trees import family, patches_of, planted, trees
from verify.cases import matrix
from verify.cases.case import Baseline, Question, judge
from verify.cases.run import POISONS, Setup, baseline_of
from verify.outcome import Broken, Different, Outcome
from verify.routes import OFF, Route, available, upstream
from verify.sides.process import Worker
from verify.sides.snapshot import snapshot
from verify.worker.protocol import Play


@dataclass(frozen=True)
class Verdict:
    """caught: by which scenario (`at`, 1-based) and with what words; else survived."""

    mutant: Mutant
    caught: bool
    named: bool
    at: int
    line: str
    seconds: float

    @property
    def good(self) -> bool:
        if not self.mutant.edits:
            return not self.caught  # a control: the right tree has to pass
        return self.caught and self.named


KEPT = 1 << 28  # bytes


class Remembering(Baseline):
    """Keeps what was fetched, by its sha256: many bugs damage the same buffers first."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self._bytes: dict[str, bytes] = {}

    def fetch(self, request: Play, digests: list[str]) -> dict[str, bytes]:
        kept = self._bytes
        found = {digest: kept[digest] for digest in digests if digest in kept}
        lacking = [digest for digest in digests if digest not in found]
        if lacking:
            more = super().fetch(request, lacking)
            if sum(map(len, (*kept.values(), *more.values()))) > KEPT:
                kept = self._bytes = {}
            kept |= more
            found |= more
        return found


class Bench:
    """The applied tree, and the baseline's worker, shared by all mutants of a release."""

    def __init__(self, setup: Setup, baseline: Baseline) -> None:
        self.setup = setup
        self.baseline = baseline

    def judge(self, mutant: Mutant) -> Verdict:
        began = time.monotonic()
        folder = self.setup.baseline.parent / mutant.name.replace("/", " ")
        shutil.copytree(self.setup.candidate, folder)
        (folder / mutant.file).write_bytes(planted(mutant))
        setup = replace(self.setup, candidate=folder)
        # Upstream's own replay is no reference there, each step's alone is.
        later = family(mutant.release) != "A"
        at, outcome = 0, None
        for route in routes_of(mutant):
            with (
                setup.worker("candidate", route.env, route.blocked) as worker,
                baseline_of(setup, route, self.baseline) as baseline,
            ):
                for poison, scenario in _order(route, mutant, self.setup.device):
                    at += 1
                    asked = Question(scenario, mutant.mode, route, later, 0, poison)
                    outcome = judge(baseline, worker, asked)
                    if isinstance(outcome, Different | Broken):
                        break
            if isinstance(outcome, Different | Broken):
                break
        shutil.rmtree(folder)
        line, words = _words(outcome)
        return Verdict(
            mutant,
            caught=bool(line),
            named=bool(line) and mutant.names in words,
            at=at,
            line=line,
            seconds=time.monotonic() - began,
        )


@contextmanager
def bench(release: str, setup: Setup) -> Iterator[Bench]:
    pristine, applied = trees(release)
    with TemporaryDirectory(prefix="nsa-mutants-") as name:
        folder = Path(name)
        snapshot(pristine, applied, folder / "baseline")
        snapshot(applied, pristine, folder / "applied")
        setup = replace(
            setup, baseline=folder / "baseline", candidate=folder / "applied"
        )
        with setup.worker("baseline", dict(OFF)) as worker:
            yield Bench(setup, Remembering(worker))


def run_all(
    mutants: Sequence[Mutant],
    seen: Callable[[Verdict], None],
    device: str = "cpu",
    jobs: int = 2,
) -> list[Verdict]:
    """Every mutant's verdict, in their order; `seen` as they come in.

    A baseline plays one scenario at a time, so that many jobs share several. All workers
    are forked from one process.
    """
    planned = Counter(mutant.release for mutant in mutants)
    lanes = {r: min(max(1, jobs // 3), -(-n // 3)) for r, n in planned.items()}

    def one(number: int, mutant: Mutant) -> Verdict:
        lane = number % lanes[mutant.release]
        verdict = benches[mutant.release, lane].judge(mutant)
        seen(verdict)
        return verdict

    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        setup = stack.enter_context(Setup(Path(), Path(), device=device).open())
        benches = {
            (release, lane): stack.enter_context(bench(release, setup))
            for release, several in lanes.items()
            for lane in range(several)
        }
        return list(pool.map(one, range(len(mutants)), mutants))


def controls(mutants: tuple[Mutant, ...]) -> tuple[Mutant, ...]:
    """The applied tree without a bug, on every route and mode that a mutant meets."""
    met = dict.fromkeys(
        (m.route, m.pair, m.mode, m.release) for m in mutants if m.edits
    )
    return tuple(
        Mutant(
            f"control {number}", "none", _backend(release), (), route, mode, "", pair,
            release=release,
        )
        for number, (route, pair, mode, release) in enumerate(met, 1)
    )  # fmt: skip


def _backend(release: str) -> str:
    return DSA_BACKEND if family(release) == "C" else BACKEND


def routes_of(mutant: Mutant) -> list[Route]:
    found = [
        route
        for route in _routes(mutant.release)
        if fnmatchcase(route.name, mutant.route)
        and route.pair == mutant.pair
        and mutant.mode in route.modes
    ]
    assert found, f"{mutant.name}: no route {mutant.route} in {mutant.mode}"
    return found


def _routes(release: str) -> tuple[Route, ...]:
    names = [patch.name for patch in patches_of(release)]
    # What newer releases have by themselves.
    own, kind = [*names, "precompute"], family(release)
    return available(names) if kind == "A" else upstream(kind, own)


def _order(route: Route, mutant: Mutant, device: str) -> Iterator[tuple[int, str]]:
    """What the default run compares on a CPU, each scenario's first poison first.

    On a GPU a bug that is still there meets what only a run there adds, and one that a
    CPU cannot show meets that first.
    """
    found = matrix.jobs(route, mutant.mode, "cpu")
    if mutant.names == "topk_v2_plan":  # up to 30 rows have none
        found.sort(key=lambda job: job.scenario is None or job.scenario.max_bs <= 30)
    if device == "cuda" and mutant.edits:
        known = {job.scenario for job in found}
        more = [
            job
            for job in matrix.jobs(route, mutant.mode, device)
            if job.scenario not in known
        ]
        found = [*reversed(more), *found] if mutant.only_cuda else [*found, *more]
    for turn in range(len(POISONS)):
        for job in found:
            if job.scenario is not None and turn < len(job.poisons):
                yield job.poisons[turn], job.scenario.text()


def _words(outcome: Outcome | None) -> tuple[str, str]:
    if isinstance(outcome, Different):
        lines = [difference.line() for difference in outcome.differences]
        return lines[0], "\n".join(lines)
    if isinstance(outcome, Broken):
        line = f"{outcome.kind}: {outcome.message}"
        return line, line
    return "", ""
