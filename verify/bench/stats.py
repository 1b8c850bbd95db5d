"""Medians by round, an interval on a ratio of medians, and the verdict on it."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Speed = Literal["FASTER", "SAME", "SLOWER", "UNSURE", "WRONG"]
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


def judge(interval: Interval, rounds: int, on_gpu: bool) -> Judged:
    """FASTER or SLOWER where the whole interval says so; SAME within 3%."""
    low, high = interval.low, interval.high
    if not on_gpu:
        return Judged("UNSURE", "timed on a CPU: these times mean nothing")
    if rounds < FEWEST_ROUNDS:
        return Judged("UNSURE", f"{rounds} rounds; at least {FEWEST_ROUNDS} are needed")
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return Judged("SAME")
    if low > 1:
        return Judged("FASTER")
    if high < 1:
        return Judged("SLOWER")
    span = f"{low:.3g}x to {high:.3g}x"
    what = f"95% interval {span}: includes 1; more --rounds narrow it"
    return Judged("UNSURE", what)


def _bootstrap(
    measure: Callable[[list[float], list[float]], float],
    first: Sequence[float],
    second: Sequence[float],
    seed: int,
) -> Interval:
    """The measure over all rounds, and its interval over rounds drawn again."""
    rounds = min(len(first), len(second))
    drawn = sorted(
        measure([first[i] for i in draw], [second[i] for i in draw])
        for draw in _draws(rounds, seed)
    )
    tail = round((1 - LEVEL) / 2 * (RESAMPLES - 1))
    value = measure(list(first[:rounds]), list(second[:rounds]))
    return Interval(value, drawn[tail], drawn[-1 - tail])


@functools.lru_cache(maxsize=8)
def _draws(rounds: int, seed: int) -> tuple[list[int], ...]:
    """The same for every ratio of a report."""
    draw = random.Random(seed)
    return tuple(draw.choices(range(rounds), k=rounds) for _ in range(RESAMPLES))
