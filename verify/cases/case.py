"""One case: play a scenario on both sides and reach an outcome."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from verify.compare.explain import Contents, Stored, explain
from verify.compare.layout import ByteMismatch, compare
from verify.compare.planners import why_wrong
from verify.outcome import Broken, Difference, Different, Identical, NotRun, Outcome
from verify.routes import Route, baseline_driver
from verify.sides.process import Worker, WorkerDied
from verify.worker import protocol as p

_PLACEHOLDER = "the verifier has only a placeholder for it"
_READ_ONCE = "one, which a graph's replay does not repeat"
EXPLAINED = 24  # buffers explained in one case; the rest are counted


@dataclass(frozen=True)
class Question:
    """What both sides play: a scenario's text, the route it is for, seed and poison."""

    scenario: str
    mode: str
    route: Route
    in_tree: bool
    seed: int
    poison: int

    @property
    def old(self) -> p.Play:
        return self._play(baseline_driver(self.route, self.mode, self.in_tree))

    @property
    def new(self) -> p.Play:
        return self._play(self.route.driver(self.mode))

    def _play(self, driver: str) -> p.Play:
        return p.Play(
            op="play",
            scenario=self.scenario,
            driver=driver,
            seed=self.seed,
            poison=self.poison,
        )


class Baseline:
    """The baseline's worker; every scenario is played there once and remembered."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._lock = threading.Lock()
        self._played: dict[str, p.Played | p.NotApplicable | Broken] = {}
        self._last: str | None = None

    def play(self, request: p.Play) -> p.Played | p.NotApplicable | Broken:
        with self._lock:
            return self._remembered(request)

    def fetch(self, request: p.Play, digests: list[str]) -> dict[str, bytes]:
        """Bytes of what this request played. Raises WorkerDied."""
        with self._lock:
            if self._last != str(request):
                self._played.pop(str(request), None)
                found = self._remembered(request)
                if isinstance(found, Broken):
                    raise WorkerDied(found)
            return self.worker.fetch(digests)

    def measure(self, request: p.Measure) -> p.Counted | p.NotApplicable:
        """Raises WorkerDied."""
        with self._lock:
            self._last = None
            counted: p.Counted | p.NotApplicable = self.worker.ask(**request)
            return counted

    def _remembered(self, request: p.Play) -> p.Played | p.NotApplicable | Broken:
        key = str(request)
        if key not in self._played:
            self._last = None
            try:
                self._played[key] = self.worker.ask(**request)
                self._last = key
            except WorkerDied as death:
                self._played[key] = death.broken
        return self._played[key]


def judge(baseline: Baseline, candidate: Worker, question: Question) -> Outcome:
    """Play on both sides at once; compare; fetch and explain what differs."""
    new: p.Played | p.NotApplicable | Broken
    try:
        candidate.send(**question.new)
    except WorkerDied as death:
        new, sent = death.broken, False
    else:
        sent = True
    old = baseline.play(question.old)
    if sent:
        try:
            new = candidate.receive()
        except WorkerDied as death:
            new = death.broken
    if isinstance(old, Broken):
        return old
    if "not_applicable" in old:
        return NotRun(old["not_applicable"])
    if isinstance(new, Broken):
        return _of_candidate("raised", new) if new.kind == "raised" else new
    if "not_applicable" in new:
        what = new["not_applicable"]
        lost = _alone("lost", "the route", "the baseline runs this scenario", what)
        return Different((lost,))
    return _compared(baseline, candidate, question, old, new)


def _of_candidate(what: str, broken: Broken) -> Different:
    """An exception that only the candidate raises is a difference, not a breakdown."""
    where = next((w for w in reversed(broken.where) if "/sglang/" in w), "")
    message = broken.message.splitlines()[0]
    return Different((_alone(what, "an exception", "no exception", message, where),))


def _alone(what: str, field: str, old: str, new: str, note: str = "") -> Difference:
    return Difference(what, "the candidate", field, 0, 0, old=old, new=new, note=note)


def _compared(
    baseline: Baseline,
    candidate: Worker,
    question: Question,
    old: p.Played,
    new: p.Played,
) -> Outcome:
    route = question.route
    compared = compare(old, new, shares=route.shares, drops=route.drops)
    facts = [*compared.facts, *_careless(old, new)]
    if not facts and not compared.mismatches:
        missing = route.missing(question.mode, new["counts"])
        if missing:
            message = f"the route did not run: {'; '.join(missing)}"
            return Broken("route", "candidate", message, tuple(new["warnings"][-3:]))
        replays = sum(o["bs"] > 0 for o in old["observations"])
        forks = [
            f"{line}: a CPU run takes only one of its branches"
            for line in new["forks"]
            if line not in old["forks"]
        ]
        notes = (*compared.notes, *forks)
        return Identical(replays, compared.buffers, compared.bytes, notes)
    try:
        explained = _explained(
            baseline, candidate, question, old, new, compared.mismatches[:EXPLAINED]
        )
    except WorkerDied as death:
        return death.broken
    explained += [_counted(m, old) for m in compared.mismatches[EXPLAINED:]]
    first, *others = sorted([*explained, *facts], key=lambda d: d.rank)
    if first.of_a_plan and first.what == "wrong value":
        first = replace(first, note=first.note or why_wrong(first.field, old, new))
    return Different((first, *others))


def _careless(old: p.Played, new: p.Played) -> list[Difference]:
    """What only the candidate does, and what would not work on a GPU."""
    known = {name for names in old["consulted"].values() for name in names}
    found = [
        _alone(_PLACEHOLDER, name, "never asked", f"asked in {phase}")
        for phase, names in new["consulted"].items()
        for name in names
        if name not in known
    ]
    return found + [
        _alone("a host read in the captured function", line, "none", _READ_ONCE)
        for line in new["host"]
        if line not in old["host"]
    ]


def _explained(
    baseline: Baseline,
    candidate: Worker,
    question: Question,
    old: p.Played,
    new: p.Played,
    mismatches: tuple[ByteMismatch, ...],
) -> list[Difference]:
    if not mismatches:
        return []
    wanted_old: list[str] = []
    wanted_new: list[str] = []
    for m in mismatches:
        start = _digest(old, _start(old, m.at), m)
        wanted_old += [m.old, start, _digest(old, m.at - 1, m)]
        wanted_new += [m.new, _digest(new, m.at - 1, m)]
    bytes_old = baseline.fetch(question.old, wanted_old)
    bytes_new = candidate.fetch(wanted_new)
    found = []
    for m in mismatches:
        observation = old["observations"][m.at]
        owned = old["layouts"][observation["layout"]]["owners"][m.owner]
        width = owned["storages"][m.storage]["width"]
        now_old, now_new = bytes_old[m.old], bytes_new[m.new]
        poisoned = bytes_old[_digest(old, _start(old, m.at), m)]
        before_old = bytes_old[_digest(old, m.at - 1, m)]
        before_new = bytes_new[_digest(new, m.at - 1, m)]
        contents = Contents(
            start=Stored(_same_size(poisoned, now_old), width),
            before_old=Stored(_same_size(before_old, now_old), width),
            before_new=Stored(_same_size(before_new, now_new), width),
            old=Stored(now_old, width),
            new=Stored(now_new, width),
        )
        found.append(explain(m.owner, m.storage, observation, owned, contents))
    return found


def _start(played: p.Played, at: int) -> int:
    """The observation after the last poisoning: after capture or re-capture."""
    return max(i for i in range(at + 1) if not played["observations"][i]["bs"])


def _digest(played: p.Played, at: int, m: ByteMismatch) -> str:
    """Of the storage in an observation; its own, now, where it was not there yet."""
    earlier = played["observations"][max(0, at)]["digests"]
    now = played["observations"][m.at]["digests"][m.owner][m.storage]
    return earlier.get(m.owner, {}).get(m.storage, now)


def _same_size(earlier: bytes, now: bytes) -> bytes:
    return earlier if len(earlier) == len(now) else now


def _counted(m: ByteMismatch, old: p.Played) -> Difference:
    observation = old["observations"][m.at]
    return Difference(
        "differs (not explained)", m.owner, m.storage, observation["replay"],
        observation["bs"], old=m.old[:12], new=m.new[:12], batch=observation["batch"],
    )  # fmt: skip
