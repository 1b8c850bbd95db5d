"""Drawn scenarios: hypothesis draws, a failure shrinks, and the next run tries it first.

Failures are kept as scenario texts, one a line, in the user's cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from patcher.tree.wheels import cache_folder
from verify.cases.run import POISONS, Job, Ran, Setup, Table, play_all
from verify.outcome import Case
from verify.routes import Route
from verify.sides.stop import Ended
from verify.worker.scenario import (
    IMPLS,
    KV,
    PREFILL,
    Replay,
    Scenario,
    ScenarioError,
    of_kind,
    parse,
)

LIMIT = 50  # saved failures a route and mode
_PAGES = (1, 16, 32, 64)


class _Failed(Exception):
    """Raised inside a drawn example so that hypothesis shrinks it."""


@st.composite
def scenarios(draw: st.DrawFn, mode: str, largest: int) -> Scenario:
    """A scenario of this mode with explicit replays; `largest` bounds a batch."""
    capture = draw(
        st.lists(st.integers(1, largest), min_size=1, max_size=3, unique=True)
    )
    decode = mode.startswith("decode")
    scenario = of_kind(
        mode,
        steps=draw(st.integers(1, 8)) if decode else 1,
        page_size=draw(st.sampled_from(_PAGES)),
        impl=draw(st.sampled_from(IMPLS)),
        seq_bits=draw(st.sampled_from((32, 64))),
        row_bits=draw(st.sampled_from((32, 64))),
        capture=tuple(sorted(capture)),
        context=draw(st.sampled_from((16, 64, 65, 130, 1024, 1100, 2304))),
        topk=draw(st.sampled_from((8, 64, 2048))),
        draft=draw(st.integers(1, 6)),
        kv=draw(st.sampled_from(KV)),
        prefill=draw(st.sampled_from(PREFILL)),
    )
    replays = draw(st.lists(_replays(scenario) | _recaptures(scenario), max_size=5))
    return scenario.with_replays((*replays, draw(_replays(scenario))))


def _recaptures(scenario: Scenario) -> st.SearchStrategy[Replay]:
    return st.sampled_from((0, *scenario.capture)).map(lambda n: Replay(recapture=n))


@st.composite
def _replays(draw: st.DrawFn, scenario: Scenario) -> Replay:
    raw_bs = draw(st.integers(1, scenario.max_bs))
    end = scenario.max_length
    edges = [n for n in (1, 63, 64, 65, 1024, 1025, 2047, 2048, 2049, end) if n <= end]
    length = st.one_of(st.sampled_from(edges), st.integers(1, end))
    lengths = draw(st.lists(length, min_size=raw_bs, max_size=raw_bs))
    row = st.integers(0, scenario.pool_rows - 1)
    rows = draw(st.lists(row, min_size=raw_bs, max_size=raw_bs))
    if not scenario.mode.startswith("draft_extend"):
        return Replay(tuple(lengths), tuple(rows))
    accept = st.integers(1, min(scenario.draft, end))
    accepts = draw(st.lists(accept, min_size=raw_bs, max_size=raw_bs))
    lengths = [max(n, a) for n, a in zip(lengths, accepts, strict=True)]
    return Replay(tuple(lengths), tuple(rows), tuple(accepts))


def run(
    setup: Setup,
    routes: tuple[Route, ...],
    cases: int,
    progress: Callable[[Case], None] = lambda case: None,
) -> Ran[Case]:
    """`cases` drawn scenarios a route and mode, saved failures first."""

    def play(table: Table, job: Job) -> list[Case]:
        return _one(table, job, cases, progress)

    jobs = [Job(route, mode=mode) for route in routes for mode in route.modes]
    # hypothesis draws in one thread at a time.
    return play_all(replace(setup, workers=1), jobs, play)


def _one(
    table: Table, job: Job, cases: int, progress: Callable[[Case], None]
) -> list[Case]:
    setup, route, mode = table.setup, job.route, job.mode
    seen: list[Case] = []

    def attempt(scenario: Scenario) -> Case:
        poison = POISONS[len(seen) % len(POISONS)]
        case = table.verify(job, scenario, poison)
        seen.append(case)
        progress(case)
        return case

    saved = _file(route, mode)
    with contextlib.suppress(Ended):
        for scenario in _saved(saved, mode):
            if attempt(scenario).failed:
                return seen
    largest = 24 if setup.device == "cuda" or not route.kernels else 5
    smallest = _draw(setup, mode, largest, cases, attempt)
    if smallest is None:
        return seen
    _save(saved, smallest.scenario)
    return [case for case in seen if not case.failed] + [smallest]


def _draw(
    setup: Setup,
    mode: str,
    largest: int,
    cases: int,
    attempt: Callable[[Scenario], Case],
) -> Case | None:
    """The smallest failing case, or None; stopped, the smallest by then."""
    failing: list[Case] = []

    @hypothesis.seed(setup.seed)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(scenarios(mode, largest))
    def drawn(scenario: Scenario) -> None:
        case = attempt(scenario)
        if case.failed:
            failing.append(case)
            raise _Failed

    try:
        drawn()
    except _Failed:
        return failing[-1]  # hypothesis ends with the smallest one
    except (hypothesis.errors.Flaky, Ended):
        return min(failing, key=lambda case: len(case.scenario), default=None)
    return None


def _file(route: Route, mode: str) -> Path:
    name = f"{mode.replace('@', '-')}-{route.label.replace(' ', '-').strip('()')}.txt"
    return cache_folder() / "failures" / name


def _saved(file: Path, mode: str) -> list[Scenario]:
    """Saved failures, the latest first; lines that no longer parse are left out."""
    found = []
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for line in reversed(lines):
        try:
            scenario = parse(line)
        except (ScenarioError, ValueError):
            continue
        if scenario.kind == mode:
            found.append(scenario)
    return found


def _save(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    kept = [line for line in lines if line != text][-LIMIT + 1 :]
    file.write_text("\n".join([*kept, text]) + "\n", encoding="utf-8")
