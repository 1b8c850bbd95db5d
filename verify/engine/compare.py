"""Runs of one cell against each other: tokens request by request, and time a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    timed repetition, milliseconds a verify step.
    """

    side: str
    start: int
    answers: list[list[Json]] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)

    def brief(self, cell: Workload) -> str:
        """One line of progress."""
        times = ", ".join(f"{ms:.3f}" for ms in self.step_ms) or "no"
        verify = sum(request["verify"] for request in self.answers[0])
        return f"{cell.name}: {verify} verify steps, {times} ms each"


def step_ms(short: Json, long: Json) -> float | None:
    """Milliseconds a verify step takes, prefill and start apart; None: too few steps.

    Both answers are of the same prompts, `long` with more new tokens: what they differ by
    is steps of decoding, as many as the slowest request has more.
    """
    steps = _steps(long) - _steps(short)
    return (long["seconds"] - short["seconds"]) / steps * 1e3 if steps > 0 else None


def _steps(answer: Json) -> int:
    return max(int(request["verify"]) for request in answer["requests"])


def differences(reference: Sequence[Json], run: Run) -> Iterator[str]:
    """Where a run says something else than `reference`, one line a request at most."""
    told: set[int] = set()
    for answer in run.answers:
        for i, (old, new) in enumerate(zip(reference, answer, strict=True)):
            line = _difference(old, new)
            if line and i not in told:
                told.add(i)
                yield f"request {i}: {line}"


def other_tokens(reference: Sequence[Json], run: Run) -> bool:
    """Whether some request has other ids: more than other verify steps or drafts."""
    return any(
        old["ids"] != new["ids"]
        for answer in run.answers
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


def _difference(old: Json, new: Json) -> str:
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
