"""Intervals and verdicts on rounds whose truth is planted."""

from __future__ import annotations

import random

import pytest

from verify.bench import stats
from verify.bench.stats import Interval


def rounds(us: float, noise: float, seed: int, count: int = 20) -> list[float]:
    draw = random.Random(seed)
    return [us * (1 + draw.gauss(0, noise)) for _ in range(count)]


def test_an_interval_holds_the_planted_ratio() -> None:
    found = stats.ratio(rounds(1000, 0.05, 1), rounds(50, 0.05, 2), seed=0)
    assert found.low < 20 < found.high
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 3


def test_95_percent_intervals_hold_the_truth_about_that_often() -> None:
    held = 0
    for seed in range(100):
        found = stats.ratio(
            rounds(100, 0.1, 2 * seed), rounds(100, 0.1, 2 * seed + 1), seed
        )
        held += found.low <= 1 <= found.high
    assert 85 <= held <= 100


def test_an_interval_depends_on_the_seed_alone() -> None:
    old, new = rounds(100, 0.1, 1), rounds(90, 0.1, 2)
    assert stats.ratio(old, new, 5) == stats.ratio(old, new, 5)
    assert stats.ratio(old, new, 5) != stats.ratio(old, new, 6)


def test_what_drifts_in_both_sides_widens_no_interval() -> None:
    drift = [1 + 0.02 * i for i in range(20)]
    found = stats.ratio([100 * d for d in drift], [50 * d for d in drift], 0)
    assert (found.low, found.high) == (pytest.approx(2, rel=0.15),) * 2
    apart = stats.difference([100 + d for d in drift], drift, 0)
    assert apart == Interval(*[pytest.approx(100)] * 3)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.5, 2.5, "FASTER"),
        (1.01, 1.2, "FASTER"),
        (0.98, 1.02, "SAME"),
        (1.005, 1.02, "SAME"),
        (0.5, 0.9, "SLOWER"),
        (0.8, 1.2, "UNSURE"),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, verdict: str) -> None:
    judged = stats.judge(Interval((low + high) / 2, low, high), 20, on_gpu=True)
    assert judged.verdict == verdict
    assert ("95% interval" in judged.reason) == (verdict == "UNSURE")


def test_few_rounds_and_a_cpu_decide_nothing() -> None:
    clear = Interval(20, 19, 21)
    few = stats.judge(clear, 3, on_gpu=True)
    assert (few.verdict, few.reason) == ("UNSURE", "3 rounds; at least 5 are needed")
    cpu = stats.judge(clear, 20, on_gpu=False)
    assert cpu.verdict == "UNSURE"
    assert "CPU" in cpu.reason


@pytest.mark.parametrize(
    ("ms", "rounds", "verdict"),
    [(5.0, 6, "FASTER"), (7.0, 6, "SAME"), (9.0, 6, "SLOWER"), (5.0, 4, "UNSURE")],
)
def test_the_speed_of_readings_without_rounds(
    ms: float, rounds: int, verdict: str
) -> None:
    interval = stats.ratio_apart(noisy(7.0, rounds), noisy(ms, rounds), seed=0)
    assert interval.low <= interval.value <= interval.high
    assert stats.speed(interval, rounds) == verdict


def test_noise_is_unsure() -> None:
    wide = stats.ratio_apart(noisy(7.0, 6, 0.5), noisy(6.9, 6, 0.5), seed=0)
    assert stats.speed(wide, 6) == "UNSURE"


def test_the_interval_of_a_median_holds_it() -> None:
    values = noisy(3.0, 9)
    interval = stats.spread(values, seed=1)
    assert min(values) <= interval.low <= interval.value <= interval.high <= max(values)


def noisy(ms: float, count: int, noise: float = 0.01) -> list[float]:
    draw = random.Random(ms)
    return [ms * (1 + draw.uniform(-noise, noise)) for _ in range(count)]
