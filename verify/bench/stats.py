"""Medians by round, an interval on a ratio of medians, and the verdict on it."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["FASTER", "SAME", "SLOWER", "UNSURE"]
Speed = Literal[Verdict, "WRONG"]
RESAMPLES = 2000
LEVEL = 0.95
SAME_WITHIN = 0.03
FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Judged:
    """A verdict and, in words, why, where the interval alone does not say it."""

    verdict: Speed
    reason: str = ""


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def ratio(reference: Sequence[float], side: Sequence[float], seed: int) -> Interval:
    """How many times faster `side` is: median(reference) / median(side).

    Both have one value a round, and the rounds were interleaved, so a resample draws
    rounds and takes both sides' values of each.
    """
    return _bootstrap(lambda old, new: median(old) / median(new), reference, side, seed)


def difference(side: Sequence[float], without: Sequence[float], seed: int) -> Interval:
    """median(side - without), round by round."""
    apart = [a - b for a, b in zip(side, without, strict=False)]
    return _bootstrap(lambda found, _: median(found), apart, apart, seed)


def spread(values: Sequence[float], seed: int) -> Interval:
    """The median and its interval."""
    draw = random.Random(seed)
    drawn = [median(_again(values, draw)) for _ in range(RESAMPLES)]
    return _interval(median(values), drawn)


def ratio_apart(
    reference: Sequence[float], side: Sequence[float], seed: int
) -> Interval:
    """As `ratio`, of readings that share no rounds: each side is resampled for itself."""
    draw = random.Random(seed)
    drawn = [
        median(_again(reference, draw)) / median(_again(side, draw))
        for _ in range(RESAMPLES)
    ]
    return _interval(median(reference) / median(side), drawn)


def speed(interval: Interval, rounds: int) -> Verdict:
    """FASTER or SLOWER where the whole interval says so; SAME within 3%."""
    low, high = interval.low, interval.high
    if rounds < FEWEST_ROUNDS:
        return "UNSURE"
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return "SAME"
    if low > 1:
        return "FASTER"
    return "SLOWER" if high < 1 else "UNSURE"


def judge(interval: Interval, rounds: int, on_gpu: bool) -> Judged:
    """What `speed` says, or why it cannot be said."""
    if not on_gpu:
        return Judged("UNSURE", "timed on a CPU: these times mean nothing")
    if rounds < FEWEST_ROUNDS:
        return Judged("UNSURE", f"{rounds} rounds; at least {FEWEST_ROUNDS} are needed")
    verdict = speed(interval, rounds)
    if verdict != "UNSURE":
        return Judged(verdict)
    span = f"{interval.low:.3g}x to {interval.high:.3g}x"
    what = f"95% interval {span}: includes 1; more --rounds narrow it"
    return Judged(verdict, what)


def _bootstrap(
    measure: Callable[[list[float], list[float]], float],
    first: Sequence[float],
    second: Sequence[float],
    seed: int,
) -> Interval:
    """The measure over all rounds, and its interval over rounds drawn again."""
    rounds = min(len(first), len(second))
    drawn = [
        measure([first[i] for i in draw], [second[i] for i in draw])
        for draw in _draws(rounds, seed)
    ]
    return _interval(measure(list(first[:rounds]), list(second[:rounds])), drawn)


def _interval(value: float, drawn: list[float]) -> Interval:
    drawn.sort()
    tail = round((1 - LEVEL) / 2 * (RESAMPLES - 1))
    return Interval(value, drawn[tail], drawn[-1 - tail])


def _again(values: Sequence[float], draw: random.Random) -> list[float]:
    return draw.choices(values, k=len(values))


@functools.lru_cache(maxsize=8)
def _draws(rounds: int, seed: int) -> tuple[list[int], ...]:
    """The same for every ratio of a report."""
    draw = random.Random(seed)
    return tuple(draw.choices(range(rounds), k=rounds) for _ in range(RESAMPLES))
