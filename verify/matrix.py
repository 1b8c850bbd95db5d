"""The default matrix: which scenarios a route runs, on which device.

On a CPU a Triton kernel runs in the interpreter, a program at a time, so routes
with kernels get a smaller set there that still has every edge once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from verify.engine import Job
from verify.routes import Route
from verify.worker.scenario import Scenario

_BITS = ((32, 32), (64, 64), (64, 32), (32, 64))
_PAGES = (64, 1)
_IMPLS = ("fa3", "flashmla_kv")
CUDA_CONTEXT = 163_840


@dataclass(frozen=True)
class Matrix:
    """Jobs to run, and in words what was left out of them."""

    jobs: tuple[Job, ...]
    reduced: tuple[str, ...]


def matrix(routes: tuple[Route, ...], device: str) -> Matrix:
    jobs = [
        Job(route, scenario)
        for route in routes
        for mode in route.modes
        for scenario in scenarios(mode, device, few=few(route, device))
    ]
    reduced = []
    slow = sorted({route.label for route in routes if route.kernels})
    if device == "cpu" and slow:
        reduced.append(
            f"{', '.join(slow)}: fewer scenarios, since kernels ran in Triton's "
            "interpreter"
        )
    if device == "cpu":
        reduced.append(f"contexts over 4,096 (CUDA runs {CUDA_CONTEXT:,} too)")
    return Matrix(tuple(jobs), tuple(reduced))


def few(route: Route, device: str) -> bool:
    return route.brief or (route.kernels and device == "cpu")


def scenarios(mode: str, device: str, *, few: bool) -> tuple[Scenario, ...]:
    """The scenarios of one mode: all of them, or few that have every edge once."""
    if mode == "decode":
        found = _decode_few() if few else _decode()
    elif mode == "runner":
        found = _runner_few() if few else _runner()
    else:
        found = _expanded_few(mode) if few else _expanded(mode)
    if device == "cuda":
        found += _long(mode)
    return tuple(found)


def _decode() -> list[Scenario]:
    """Steps 1..8 x page sizes x decode kernels; integer widths take turns."""
    cells = list(product(range(1, 9), _PAGES, _IMPLS))
    found = [
        Scenario(
            "decode",
            steps,
            page,
            impl,
            *_BITS[(i + steps) % 4],
            (1, 3, 8),
            script="tour7",
        )
        for i, (steps, page, impl) in enumerate(cells)
    ]
    return [
        *found,
        *(
            Scenario("decode", 2, 64, "fa3", *bits, (1, 32, 128), script="tour6")
            for bits in _BITS
        ),
        Scenario("decode", 3, 64, "flashmla_kv", 32, 32, (2, 64, 160), script="tour5"),
        Scenario(
            "decode", 4, 64, "flashmla_kv", 64, 64, (1, 4, 8), script="recapture6"
        ),
        Scenario("decode", 2, 1, "fa3", 32, 32, (1, 4, 8), script="recapture6"),
        Scenario("decode", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
        Scenario("decode", 2, 64, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        Scenario("decode", 2, 32, "fa3", 32, 32, (1, 8), 200, 50, script="tour7"),
    ]


def _runner() -> list[Scenario]:
    cells = list(product((1, 2, 4, 8), _PAGES, _IMPLS))
    found = [
        Scenario("runner", steps, page, impl, *_BITS[(i + steps) % 4], (1, 3, 8))
        for i, (steps, page, impl) in enumerate(cells)
    ]
    return [
        *found,
        *(
            Scenario("runner", n, 64, "fa3", 64, 64, (2, 4), script="tour5")
            for n in (3, 5, 6, 7)
        ),
        Scenario("runner", 2, 64, "fa3", 64, 64, (1, 32, 128), script="tour6"),
        Scenario(
            "runner", 3, 64, "flashmla_kv", 64, 64, (1, 4, 8), script="recapture6"
        ),
        Scenario("runner", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
    ]


def _expanded(mode: str) -> list[Scenario]:
    cells = list(product((1, 2, 4), _PAGES, _IMPLS, _BITS))
    found = [
        Scenario(mode, 1, page, impl, *bits, (1, 3, 8), draft=draft, script="tour7")
        for draft, page, impl, bits in cells
    ]
    return [
        *found,
        Scenario(mode, 1, 64, "fa3", 32, 32, (1, 32, 128), script="tour6"),
        Scenario(
            mode, 1, 64, "flashmla_kv", 32, 64, (2, 64, 160), draft=3, script="tour4"
        ),
        Scenario(mode, 1, 64, "flashmla_kv", 32, 32, (1, 4, 8), script="recapture6"),
        Scenario(mode, 1, 64, "fa3", 32, 32, (1, 5), 2500, 64, 8, script="tour7"),
        Scenario(mode, 1, 1, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        Scenario(mode, 1, 32, "fa3", 32, 32, (1, 8), 200, 50, 5, script="tour7"),
    ]


def _decode_few() -> list[Scenario]:
    found = [
        Scenario(
            "decode", n, _PAGES[n % 2], _IMPLS[n // 2 % 2], *_BITS[n % 4], (1, 4),
            script="tour6",
        )
        for n in range(1, 9)
    ]  # fmt: skip
    return [
        *found,
        Scenario("decode", 2, 64, "fa3", 32, 32, (1, 32, 128), 256, 64, script="tour5"),
        Scenario("decode", 4, 64, "flashmla_kv", 64, 64, (1, 4), script="recapture6"),
        Scenario("decode", 2, 64, "fa3", 64, 64, (1, 5), 2500, 64, script="tour7"),
        Scenario(
            "decode", 2, 32, "flashmla_kv", 32, 64, (1, 8), 200, 50, script="tour7"
        ),
    ]


def _runner_few() -> list[Scenario]:
    found = [
        Scenario(
            "runner", n, _PAGES[n // 2 % 2], _IMPLS[n % 2], *_BITS[n % 4], (1, 4),
            script="tour5",
        )
        for n in range(1, 9)
    ]  # fmt: skip
    return [
        *found,
        Scenario("runner", 2, 64, "fa3", 64, 64, (1, 32, 128), 256, 64, script="tour5"),
        Scenario("runner", 3, 64, "flashmla_kv", 64, 64, (1, 4), script="recapture6"),
        Scenario("runner", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
    ]


def _expanded_few(mode: str) -> list[Scenario]:
    cells = [(1, 64, 0), (2, 1, 1), (3, 64, 2), (4, 1, 3), (4, 64, 1), (8, 64, 0)]
    found = [
        Scenario(mode, 1, page, _IMPLS[i % 2], *_BITS[bits], (1, 3), draft=draft)
        for i, (draft, page, bits) in enumerate(cells)
    ]
    return [
        *found,
        Scenario(mode, 1, 64, "fa3", 32, 32, (1, 32, 128), 256, 64, 2, script="tour4"),
        Scenario(mode, 1, 64, "flashmla_kv", 64, 64, (1, 4), script="recapture6"),
        Scenario(mode, 1, 64, "fa3", 32, 32, (1, 5), 2500, 64, 4, script="tour7"),
        Scenario(mode, 1, 32, "fa3", 32, 64, (1, 8), 200, 50, 5, script="tour7"),
    ]


def _long(mode: str) -> list[Scenario]:
    """The model's own context, where offsets pass 2^24 elements."""
    capture = (1, 32, 128) if mode in ("decode", "runner") else (1, 32)
    return [
        Scenario(mode, 2, page, "flashmla_kv", 64, 64, capture, CUDA_CONTEXT)
        for page in _PAGES
    ]
