"""Runs of one cell against each other: tokens request by request, and time a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from verify.engine.report.model import CellReport, Memory

Json = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """One point: draft steps, prompt length of the first request, requests at once.

    load: so many requests come and go instead, of prompts up to that length; 0: none do.
    """

    steps: int
    prompt: int
    bs: int
    load: int = 0

    @classmethod
    def of(cls, cell: CellReport) -> Workload:
        """The point that a report's cell is of."""
        return cls(cell.steps, cell.prompt, cell.bs, cell.load)

    @property
    def lengths(self) -> list[int]:
        """A request's prompt is a little longer than that of the one before it."""
        return [self.prompt + 37 * i for i in range(self.bs)]

    @property
    def name(self) -> str:
        if self.load:
            return f"{self.steps} steps, {self.load:,} come and go"
        return f"{self.steps} steps, {self.bs} x {self.prompt:,}"


@dataclass
class Run:
    """One side at one cell in one start: what every repetition said and took.

    answers: the requests of every long generation, the warm-up's first. step_ms: per
    timed repetition, milliseconds a verify step. gpu_ms: how many of them the GPU was
    busy, where that was asked.
    """

    side: str
    start: int
    answers: list[list[Json]] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    gpu_ms: float | None = None

    def brief(self, cell: Workload) -> str:
        """One line of progress."""
        times = ", ".join(f"{ms:.3f}" for ms in self.step_ms) or "no"
        verify = sum(request["verify"] for request in self.answers[0])
        gpu = "" if self.gpu_ms is None else f", GPU busy {self.gpu_ms:.3f}"
        return f"{cell.name}: {verify} verify steps, {times} ms each{gpu}"


@dataclass
class SoakedSide:
    """One side in a soak: requests that differ, and those that prove nothing.

    varied: they differ, and the original alone says something else than in the load too.
    differences: the first of those that differ, in words.
    """

    differing: int = 0
    varied: int = 0
    differences: list[str] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)


@dataclass
class Soaked:
    """A soak as far as it is; counts are of the original."""

    steps: int
    bs: int
    prompt: int
    sides: dict[str, SoakedSide]
    seconds: float = 0.0
    rounds: int = 0
    requests: int = 0
    aborted: int = 0
    tokens: int = 0
    verify: int = 0

    @property
    def brief(self) -> str:
        """One line of progress."""
        differing = sum(side.differing for side in self.sides.values())
        varied = sum(side.varied for side in self.sides.values())
        return (
            f"soak, {self.seconds / 60:.1f} minutes: {self.rounds} rounds, "
            f"{self.requests:,} requests, {self.aborted:,} aborted, {self.tokens:,} tokens, "
            f"{differing} differ{f', {varied} prove nothing' * bool(varied)}"
        )


def step_ms(short: Json, long: Json, clock: str = "seconds") -> float | None:
    """Milliseconds a verify step takes, prefill and start apart; None: too few steps.

    Both answers are of the same prompts, `long` with more new tokens: what they differ by
    is steps of decoding, as many as the slowest request has more. clock: which of an
    answer's times; None also where an answer lacks it.
    """
    steps = _steps(long) - _steps(short)
    if steps <= 0 or short[clock] is None or long[clock] is None:
        return None
    return float(long[clock] - short[clock]) / steps * 1e3


def _steps(answer: Json) -> int:
    return max(int(request["verify"]) for request in answer["requests"])


def differences(
    reference: Sequence[Json], answers: Iterable[Sequence[Json]]
) -> Iterator[str]:
    """Where answers say something else than `reference`, one line a request at most."""
    told: set[int] = set()
    for answer in answers:
        for i, (old, new) in enumerate(zip(reference, answer, strict=True)):
            line = difference(old, new)
            if line and i not in told:
                told.add(i)
                yield f"request {i}: {line}"


def other_tokens(reference: Sequence[Json], answers: Iterable[Sequence[Json]]) -> bool:
    """Whether some request has other ids: more than other verify steps or drafts."""
    return any(
        old["ids"] != new["ids"]
        for answer in answers
        for old, new in map(_as_far, reference, answer)
    )


def _as_far(old: Json, new: Json) -> tuple[Json, Json]:
    """Of an aborted request what both said.

    How far it came is a matter of time, and so are its counts.
    """
    if not old.get("aborted"):
        return old, new
    both = min(len(old["ids"]), len(new["ids"]))
    counts = {"verify": 0, "accepted": []}
    return {"ids": old["ids"][:both], **counts}, {"ids": new["ids"][:both], **counts}


def difference(old: Json, new: Json) -> str:
    """What a request says else than the original's, in words; empty: nothing."""
    old, new = _as_far(old, new)
    if old["ids"] != new["ids"]:
        pairs = enumerate(zip(old["ids"], new["ids"], strict=False))
        shorter = min(len(old["ids"]), len(new["ids"]))
        at = next((i for i, (a, b) in pairs if a != b), shorter)
        return f"token {at} differs: {_token(new, at)} instead of {_token(old, at)}"
    if old["verify"] != new["verify"]:
        return f"the same tokens in {new['verify']} verify steps instead of {old['verify']}"
    if old["accepted"] != new["accepted"]:
        return f"accepted drafts {new['accepted']} instead of {old['accepted']}"
    return ""


def _token(request: Json, at: int) -> str:
    ids = request["ids"]
    return str(ids[at]) if at < len(ids) else "none"
