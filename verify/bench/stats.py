"""Medians by round, an interval on a ratio of medians, and the verdict on it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy

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
    return float(numpy.median(numpy.asarray(values, dtype=float)))


def ratio(reference: Sequence[float], side: Sequence[float], seed: int) -> Interval:
    """How many times faster `side` is: median(reference) / median(side).

    Both have one value a round, and the rounds were interleaved, so a resample draws
    rounds and takes both sides' values of each.
    """
    old, new = _paired(reference, side)
    drawn = _draws(len(old), seed)
    ratios = numpy.median(old[drawn], axis=1) / numpy.median(new[drawn], axis=1)
    return _interval(float(numpy.median(old) / numpy.median(new)), ratios)


def difference(side: Sequence[float], without: Sequence[float], seed: int) -> Interval:
    """median(side - without), round by round."""
    new, old = _paired(side, without)
    drawn = _draws(len(old), seed)
    found = numpy.median((new - old)[drawn], axis=1)
    return _interval(float(numpy.median(new - old)), found)


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


def seed_of(seed: int, *names: object) -> int:
    """A seed for one cell of the report, so that no cell depends on another."""
    return zlib.crc32(":".join(map(str, (seed, *names))).encode())


def _paired(a: Sequence[float], b: Sequence[float]) -> tuple[Any, Any]:
    count = min(len(a), len(b))
    return numpy.asarray(a[:count], dtype=float), numpy.asarray(b[:count], dtype=float)


def _draws(rounds: int, seed: int) -> Any:
    return numpy.random.default_rng(seed).integers(0, rounds, (RESAMPLES, rounds))


def _interval(value: float, resampled: Any) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = numpy.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
