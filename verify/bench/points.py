"""Where to measure: points, the grids that a run takes them from, and its effort."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

MODES = ("decode", "target_verify", "draft_extend")
IMPLS = ("fa3", "flashmla_kv")
CONTEXT = 163_840
CPU_CONTEXT = 8_192
_K = 1024
_TABLE = ((1, 2 * _K), (8, 8 * _K), (32, 16 * _K), (64, 64 * _K), (128, 128 * _K))
_SMALL = (3, 4 * _K)
_QUICK = ((1, 2 * _K), (32, 16 * _K))
_CPU = ((1, 2 * _K), (4, 1 * _K))
_AXES = {
    "steps": tuple(range(1, 9)),
    "bs": tuple(2**i for i in range(9)),
    "length": tuple(_K * 2**i for i in range(8)),
}
MIDDLE = (4, 32, 16 * _K)
_POOL_ROWS = 1536
_MOST_SETS = 256


class PointError(ValueError):
    """A request for points that cannot be measured; the message says why."""


@dataclass(frozen=True)
class Point:
    """One row group of the report. length: tokens of the longest sequence.

    steps counts draft steps in decode; elsewhere one backend replays, and it is 1.
    """

    mode: str
    steps: int
    bs: int
    length: int
    page_size: int = 64
    impl: str = "fa3"
    draft: int = 4
    context: int = CONTEXT

    def sets(self, cache_bytes: int) -> int:
        """Input sets in rotation: twice the last cache if the pool has the rows."""
        wanted = math.ceil(2 * cache_bytes / (self.bs * self.length * 4))
        return max(4, min(wanted, _POOL_ROWS // self.bs, _MOST_SETS))

    def shape(self, sets: int) -> dict[str, Any]:
        """As the worker takes it (verify.worker.bench.inputs.Place)."""
        return {**asdict(self), "sets": sets}

    def __str__(self) -> str:
        steps = f" N={self.steps}" if self.mode == "decode" else ""
        return f"{self.mode}{steps} bs {self.bs} len {short(self.length)}"


@dataclass(frozen=True)
class Effort:
    """How often: rounds of `calls` calls, `replays` graphs a round, `profiled` calls."""

    rounds: int
    calls: int
    replays: int
    profiled: int


FULL = Effort(20, 20, 200, 20)
CURVE = Effort(10, 10, 100, 10)
QUICK = Effort(8, 10, 100, 10)
CPU = Effort(5, 2, 1, 0)


@dataclass(frozen=True)
class PlannedPoint:
    """A point, how hard to measure it, and whether every side or only the best do."""

    point: Point
    effort: Effort
    every_side: bool = True


@dataclass(frozen=True)
class Curve:
    """Points along one axis (`steps`, `bs` or `length`), the others held."""

    mode: str
    axis: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Plan:
    """Every point once, and the curves through some of them."""

    points: tuple[PlannedPoint, ...]
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Request:
    """What was asked for; empty means the defaults. Raises PointError."""

    modes: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    bs: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    impl: str = "fa3"
    quick: bool = False
    curves: bool = False
    rounds: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise PointError("--rounds: must be positive")
        if self.impl not in IMPLS:
            raise PointError(
                f"--decode-kernel: {self.impl!r} is not {' or '.join(IMPLS)}"
            )
        for mode in self.modes:
            if mode not in MODES:
                known = ", ".join(MODES)
                raise PointError(f"--mode: unknown mode {mode!r}; known: {known}")


def plan(request: Request, device: str, routed: Container[str] = MODES) -> Plan:
    """The run's points, each once. routed: modes that any route runs. Raises PointError."""
    modes = tuple(mode for mode in request.modes or MODES if mode in routed)
    if not modes:
        raise PointError(f"no chosen route runs {', '.join(request.modes or MODES)}")
    request = replace(request, modes=modes)
    effort = CPU if device == "cpu" else QUICK if request.quick else FULL
    base = Point(
        "decode", 4, 1, 1, impl=request.impl, context=_context(request, device)
    )
    points = [
        PlannedPoint(
            replace(base, mode=mode, steps=steps, bs=bs, length=length), effort
        )
        for mode in request.modes
        for steps in _steps(request, mode, device)
        for bs, length in _sizes(request, mode, device)
    ]
    curves = _curves(request, base) if request.curves else ()
    known = {planned.point for planned in points}
    extra = dict.fromkeys(p for curve in curves for p in curve.points if p not in known)
    brief = CPU if device == "cpu" else CURVE
    points += [PlannedPoint(point, brief, every_side=False) for point in extra]
    if request.rounds:
        points = [
            replace(planned, effort=replace(planned.effort, rounds=request.rounds))
            for planned in points
        ]
    return Plan(tuple(dict.fromkeys(points)), curves)


def _steps(request: Request, mode: str, device: str) -> tuple[int, ...]:
    if mode != "decode":
        return (1,)
    return request.steps or ((4,) if request.quick or device == "cpu" else (4, 8))


def _sizes(request: Request, mode: str, device: str) -> list[tuple[int, int]]:
    """(bs, length) pairs: the product of what was asked for, or the table's."""
    table = _CPU if device == "cpu" else _QUICK if request.quick else _TABLE
    if not request.bs and not request.lengths:
        small = (
            () if mode == "decode" or device == "cpu" or request.quick else (_SMALL,)
        )
        return sorted((*table, *small))
    sizes = request.bs or tuple(bs for bs, _ in table)
    lengths = request.lengths or (MIDDLE[2] if device != "cpu" else _K,)
    return [(bs, length) for bs in sizes for length in lengths]


def _curves(request: Request, base: Point) -> tuple[Curve, ...]:
    wanted = [("decode", axis) for axis in _AXES]
    wanted += [("target_verify", "bs"), ("draft_extend", "bs")]
    steps, bs, length = MIDDLE
    found = []
    for mode, axis in wanted:
        if mode not in request.modes:
            continue
        middle = replace(
            base,
            mode=mode,
            steps=steps if mode == "decode" else 1,
            bs=bs,
            length=length,
        )
        points = (replace(middle, **{axis: value}) for value in _AXES[axis])
        found.append(Curve(mode, axis, tuple(points)))
    return tuple(found)


def _context(request: Request, device: str) -> int:
    """The model's own; on a CPU no more than is needed, since it has to be filled."""
    longest = max(request.lengths, default=0)
    if longest > CONTEXT - 8:
        raise PointError(f"--len {longest} does not fit the context of {CONTEXT:,}")
    return max(CPU_CONTEXT, longest + 8) if device == "cpu" else CONTEXT


def numbers(texts: Sequence[str], option: str) -> tuple[int, ...]:
    """`4,8` or `2k` as numbers, each once. Raises PointError."""
    found = []
    for text in (part for item in texts for part in item.split(",")):
        digits = text.strip().lower().removesuffix("k")
        if not digits.isdigit() or int(digits) < 1:
            raise PointError(f"{option}: {text!r} is not a positive number")
        found.append(int(digits) * (_K if text.strip().lower().endswith("k") else 1))
    return tuple(dict.fromkeys(found))


def short(length: int) -> str:
    """16384 as `16k`."""
    return f"{length // _K}k" if length % _K == 0 else str(length)
