"""The default matrix: which scenarios a route runs, on which device.

On a CPU a Triton kernel runs in the interpreter, a program at a time, so routes
with kernels, and the fallbacks from them, get a smaller set there that still has every
edge once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from verify.cases.run import Job
from verify.routes import Route
from verify.worker.scenario import Scenario, of_kind

_BITS = ((32, 32), (64, 64), (64, 32), (32, 64))
_PAGES = (64, 1)
_IMPLS = ("fa3", "flashmla_kv")
_EXPANDED_FEW = ((1, 64), (2, 1), (3, 64), (4, 1), (6, 64))
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
        for scenario in scenarios(route, mode, device)
    ]
    return Matrix(tuple(jobs), tuple(_reduced(routes, device)))


def scenarios(route: Route, mode: str, device: str) -> tuple[Scenario, ...]:
    """The scenarios of one route in one mode."""
    found = _short(route, mode, device)
    return tuple(found + _long(mode) if device == "cuda" else found)


def _short(route: Route, mode: str, device: str) -> list[Scenario]:
    """Those that run on any device."""
    falls_back = bool(route.blocked)
    few = route.brief or (device == "cpu" and (route.kernels or falls_back))
    if mode == "decode":
        return _decode_few(route) if few else _decode()
    if mode == "decode@runner":
        return _runner(brief=(device == "cpu" and not route.shares) or route.brief)
    return _expanded_few(mode) if few else _expanded(mode)


def _reduced(routes: tuple[Route, ...], device: str) -> list[str]:
    if device != "cpu":
        return []
    fewer: dict[str, list[str]] = {}
    for route in routes:
        for mode in route.modes:
            if _short(route, mode, "cpu") != _short(route, mode, "cuda"):
                fewer.setdefault(mode, []).append(route.label)
    return [f"contexts over 4,096 (CUDA runs {CUDA_CONTEXT:,} too)"] + [
        f"{mode} {', '.join(labels)}: fewer scenarios than on CUDA"
        for mode, labels in fewer.items()
    ]


def _decode() -> list[Scenario]:
    """Steps 1..8 x page sizes x decode kernels; integer widths take turns."""
    found = [
        Scenario(
            "decode", n, page, impl, *_BITS[(i + n) % 4], (1, 3, 8), script="tour7"
        )
        for i, (n, page, impl) in enumerate(product(range(1, 9), _PAGES, _IMPLS))
    ]
    wide = [
        Scenario("decode", 2, 64, "fa3", *bits, (1, 32, 128), script="tour6")
        for bits in _BITS
    ]
    return [
        *found,
        *wide,
        Scenario("decode", 3, 64, "flashmla_kv", 32, 32, (2, 64, 160), script="tour5"),
        Scenario(
            "decode", 4, 64, "flashmla_kv", 64, 64, (1, 4, 8), script="recapture6"
        ),
        Scenario("decode", 2, 1, "fa3", 32, 32, (1, 4, 8), script="recapture6"),
        Scenario("decode", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
        Scenario("decode", 2, 64, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        Scenario("decode", 2, 32, "fa3", 32, 32, (1, 8), 200, 50, script="tour7"),
        _BLOCKS,
    ]


# More rows than a kernel's block has: sums are carried from block to block.
_BLOCKS = Scenario("decode", 1, 1, "fa3", 32, 64, (1030,), 80, 64, script="tour1")


def _decode_few(route: Route) -> list[Scenario]:
    found = [
        Scenario(
            "decode", n, _PAGES[n % 2], _IMPLS[n // 2 % 2], *_BITS[n % 4], (1, 3),
            script="tour5" if n < 4 else "tour3",
        )
        for n in range(1, 9)
    ]  # fmt: skip
    # `fused-decode` sums in one block, whatever the batch size.
    blocks = [_BLOCKS] if route.name == "fan-out" else []
    return [
        *found,
        Scenario("decode", 2, 1, "fa3", 32, 32, (1, 40), 256, 64, script="tour2"),
        Scenario("decode", 4, 64, "flashmla_kv", 64, 64, (1, 3), script="recapture4"),
        Scenario("decode", 2, 64, "fa3", 64, 64, (1, 5), 2500, 64, script="tour5"),
        Scenario(
            "decode", 2, 32, "flashmla_kv", 32, 64, (1, 8), 200, 50, script="tour5"
        ),
        *blocks,
    ]


def _runner(*, brief: bool) -> list[Scenario]:
    steps = (1, 6) if brief else range(1, 9)  # both page sizes
    found = [
        of_kind(
            "decode@runner", n, _PAGES[n // 2 % 2], _IMPLS[n % 2], *_BITS[n % 4], (1, 4),
            script="tour5" if n < 5 else "tour3",
        )
        for n in steps
    ]  # fmt: skip
    if not brief:
        found += [
            of_kind(
                "decode@runner",
                2,
                64,
                "flashmla_kv",
                32,
                32,
                (3,),
                4096,
                script="tour6",
            ),
            of_kind(
                "decode@runner", 2, 1, "fa3", 64, 64, (1, 40), 256, 64, script="tour2"
            ),
        ]
    return [
        *found,
        of_kind(
            "decode@runner", 3, 64, "flashmla_kv", 64, 64, (1, 4), script="recapture6"
        ),
        of_kind(
            "decode@runner", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"
        ),
    ]


def _expanded(mode: str) -> list[Scenario]:
    cells = product((1, 2, 3, 4, 8), _PAGES, _IMPLS)
    found = [
        of_kind(
            mode, 1, page, impl, *_BITS[(i + draft) % 4], (1, 3, 8), draft=draft,
            script="tour7",
        )
        for i, (draft, page, impl) in enumerate(cells)
    ]  # fmt: skip
    return [
        *found,
        of_kind(mode, 1, 64, "fa3", 32, 32, (1, 32, 128), script="tour6"),
        of_kind(
            mode, 1, 64, "flashmla_kv", 32, 64, (2, 64, 160), draft=3, script="tour4"
        ),
        of_kind(mode, 1, 64, "flashmla_kv", 32, 32, (1, 4, 8), script="recapture6"),
        of_kind(mode, 1, 1, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        *_odd(mode),
    ]


def _expanded_few(mode: str) -> list[Scenario]:
    found = [
        of_kind(
            mode,
            1,
            page,
            _IMPLS[i % 2],
            *_BITS[i % 4],
            (1, 3),
            draft=draft,
            script="tour4",
        )
        for i, (draft, page) in enumerate(_EXPANDED_FEW)
    ]
    return [
        *found,
        of_kind(mode, 1, 64, "flashmla_kv", 64, 64, (1, 3), script="recapture4"),
        *_odd(mode),
    ]


def _odd(mode: str) -> list[Scenario]:
    """Contexts that are no multiple of a page; tokens that overflow a kernel's block."""
    return [
        of_kind(mode, 1, 64, "fa3", 32, 32, (1, 5), 2500, 64, 4, script="tour3"),
        of_kind(mode, 1, 32, "fa3", 32, 64, (1, 8), 200, 50, 5, script="tour5"),
        of_kind(mode, 1, 1, "fa3", 32, 64, (130,), 80, 64, 8, script="tour1"),
    ]


def _long(mode: str) -> list[Scenario]:
    """The model's own context, where offsets pass 2^24 elements."""
    capture = (1, 32, 128) if mode.startswith("decode") else (1, 32)
    return [
        of_kind(mode, 2, page, "flashmla_kv", 64, 64, capture, CUDA_CONTEXT)
        for page in _PAGES
    ]
