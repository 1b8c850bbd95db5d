"""Runs verify's default scenarios against planted bugs until each is caught."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from patcher.plan.edits import files_of, plan
from patcher.plan.select import choose, unfit
from patcher.recipe import Patch
from patcher.tree.pins import Family, Pin, pins
from patcher.tree.wheels import fetch
from patches import all_patches
from tests.mutants.catalogue import BACKEND, DSA_BACKEND, RELEASE, Mutant
from tests.mutants.mutate import mutate
from verify.cases import matrix
from verify.cases.case import Baseline, Question, judge
from verify.cases.run import POISONS, Setup
from verify.outcome import Broken, Different, Outcome
from verify.routes import OFF, Route, available, upstream
from verify.sides.source import Source, snapshot


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


class Bench:
    """The applied tree in memory, and the baseline's worker, shared by all mutants."""

    def __init__(
        self, setup: Setup, baseline: Baseline, pristine: Source, applied: Source
    ) -> None:
        self.setup = setup
        self.pristine = pristine
        self.baseline = baseline
        self.applied = applied

    def judge(self, mutant: Mutant) -> Verdict:
        began = time.monotonic()
        files = {mutant.file: planted(mutant)}
        folder = self.setup.baseline.parent / mutant.name.replace("/", " ")
        snapshot(_laid_over(self.applied, files), self.pristine, folder)
        setup = replace(self.setup, baseline=folder, candidate=folder)
        # Upstream's own replay is no reference there, each step's alone is.
        later = _family(mutant.release) != "A"
        at, outcome = 0, None
        for route in routes_of(mutant):
            with setup.worker("candidate", route.env, route.blocked) as worker:
                for poison, scenario in _order(route, mutant, self.setup.device):
                    at += 1
                    asked = Question(scenario, mutant.mode, route, later, 0, poison)
                    outcome = judge(self.baseline, worker, asked)
                    if isinstance(outcome, Different | Broken):
                        break
            if isinstance(outcome, Different | Broken):
                break
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
def bench(release: str = RELEASE, device: str = "cpu") -> Iterator[Bench]:
    applied = applied_tree(release)
    with TemporaryDirectory(prefix="nsa-mutants-") as name:
        folder = Path(name)
        pristine = Source("originals", release, pinned(release).get)
        snapshot(pristine, applied, folder / "baseline")
        setup = Setup(folder / "baseline", folder / "baseline", device=device)
        with setup.open() as setup, setup.worker("baseline", dict(OFF)) as worker:
            yield Bench(setup, Baseline(worker), pristine, applied)


def run_all(
    mutants: Sequence[Mutant],
    seen: Callable[[Verdict], None],
    device: str = "cpu",
    jobs: int = 2,
) -> list[Verdict]:
    """Every mutant's verdict, in their order; `seen` as they come in.

    A baseline plays one scenario at a time, so that many jobs share several.
    """
    lanes = max(1, jobs // 3)

    def one(number: int, mutant: Mutant) -> Verdict:
        verdict = benches[mutant.release, number % lanes].judge(mutant)
        seen(verdict)
        return verdict

    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        benches = {
            (release, lane): stack.enter_context(bench(release, device))
            for release in {mutant.release for mutant in mutants}
            for lane in range(lanes)
        }
        return list(pool.map(one, range(len(mutants)), mutants))


class Files:
    """The files of a pinned release's wheel that matter here, read once."""

    def __init__(self, wheel: Path) -> None:
        import zipfile

        self._archive = zipfile.ZipFile(wheel)
        self._names = frozenset(self._archive.namelist())
        self._read: dict[str, bytes] = {}

    def get(self, rel: str) -> bytes | None:
        if rel not in self._names:
            return None
        if rel not in self._read:
            self._read[rel] = self._archive.read(rel)
        return self._read[rel]


def pinned(release: str = RELEASE) -> Files:
    return Files(fetch(_pin(release), lambda line: None))


class _Over:
    def __init__(self, below: Callable[[str], bytes | None]) -> None:
        self.below = below
        self.files: dict[str, bytes] = {}

    def get(self, rel: str) -> bytes | None:
        return self.files[rel] if rel in self.files else self.below(rel)


@cache
def applied_tree(release: str = RELEASE) -> Source:
    """The release with every patch planned over it, in memory."""
    originals, patches = pinned(release), _patches(release)
    found = {rel: originals.get(rel) for rel in files_of(patches)}
    planned = plan({k: v for k, v in found.items() if v is not None}, patches)
    assert not planned.conflicts, planned.conflicts
    over = _Over(originals.get)
    over.files.update(planned.edits)
    touched = tuple(sorted(planned.edits))
    return Source("applied", release, over.get, extra=touched)


def _patches(release: str) -> tuple[Patch, ...]:
    """All that fit but what no release has by itself, and those named behind a +."""
    patches, pin = all_patches(), _pin(release)
    fit = [p.name for p in patches if p.about.default and not unfit(p, patches, pin)]
    return choose([*fit, *release.split("+")[1:]], patches, pin)


def _pin(release: str) -> Pin:
    return pins()[release.partition("+")[0]]


def _family(release: str) -> Family:
    return _pin(release).family


def planted(mutant: Mutant) -> bytes:
    """The mutant's file with its bug. Raises NoLongerApplies."""
    data = applied_tree(mutant.release).read(mutant.file)
    assert data is not None, f"{mutant.file} is not in the applied tree"
    text = data.decode()
    for edit in mutant.edits:
        text = mutate(text, edit)
    return text.encode()


def _laid_over(source: Source, files: Mapping[str, bytes]) -> Source:
    over = _Over(source.read)
    over.files.update(files)
    return Source("mutant", source.release, over.get, extra=source.extra)


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
    return DSA_BACKEND if _family(release) == "C" else BACKEND


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
    names = [patch.name for patch in _patches(release)]
    # What newer releases have by themselves.
    own = [*names, "precompute"]
    family = _family(release)
    return available(names) if family == "A" else upstream(family, own)


def _order(route: Route, mutant: Mutant, device: str) -> Iterator[tuple[int, str]]:
    """What the default run compares on a CPU, each scenario's first poison first.

    On a GPU a bug that is still there meets what only a run there adds, and one that a
    CPU cannot show meets that first.
    """
    found = matrix.jobs(route, mutant.mode, "cpu")
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
