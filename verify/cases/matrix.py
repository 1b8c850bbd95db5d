"""The default matrix: which scenarios a route runs, on which device.

Settings meet in pairs, not in every combination. On a CPU a Triton kernel runs in the
interpreter, a program at a time, so routes with kernels, and the fallbacks from them,
get a smaller set there that still has every edge once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verify.cases.pairwise import pairwise
from verify.cases.run import POISONS, Job
from verify.routes import Route
from verify.worker.scenario import IMPLS, KV, PREFILL, Scenario, of_kind

_SETTINGS: Mapping[str, Sequence[Any]] = {
    "impl": IMPLS,
    "page_size": (64, 1),
    "seq_bits": (32, 64),
    "row_bits": (32, 64),
    "kv": KV,
    "prefill": PREFILL,
    "static": (0, 32),
}
CUDA_CONTEXT = 163_840
_LARGE = 100  # rows of a batch


@dataclass(frozen=True)
class Matrix:
    """Jobs to run, and in words what was left out of them."""

    jobs: tuple[Job, ...]
    reduced: tuple[str, ...]


def matrix(routes: tuple[Route, ...], device: str) -> Matrix:
    """Every route's scenarios on this device, and in words what it leaves out."""
    found = [
        job
        for route in routes
        for mode in route.modes
        for job in jobs(route, mode, device)
    ]
    return Matrix(tuple(found), tuple(_reduced(routes, device)))


def jobs(route: Route, mode: str, device: str) -> list[Job]:
    """The scenarios of one route in one mode, and over which poisons each is played.

    On a CPU the poisons take turns where a kernel runs in the interpreter, and large
    batches meet the first.
    """

    def poisons(number: int, scenario: Scenario) -> tuple[int, ...]:
        if device == "cpu" and scenario.max_bs > _LARGE:
            return POISONS[:1]
        if device == "cpu" and route.kernels:
            return (POISONS[number % len(POISONS)],)
        return POISONS

    return [
        Job(route, scenario, poisons=poisons(number, scenario))
        for number, scenario in enumerate(scenarios(route, mode, device))
    ]


def scenarios(route: Route, mode: str, device: str) -> tuple[Scenario, ...]:
    """The scenarios of one route in one mode."""
    found = _short(route, mode, device)
    if device == "cuda" and not (route.few or route.released):
        found += _long(mode)
    # With pages of one token there is one table, and nothing to leave out.
    return tuple(s for s in found if s.page_size > 1 or not route.drops)


def _short(route: Route, mode: str, device: str) -> list[Scenario]:
    """Those that run on any device."""
    if route.few:
        return _sample(mode, route.few)
    if route.released:
        # Three backends and more are copied to at once, and over 30 rows have a plan.
        shapes = (64, "flashmla_kv", 32, 32, (1, 32), 100, 64)
        return [of_kind(mode, steps, *shapes, script="tour2") for steps in (3, 5)]
    if route.dsa:
        found = _dsa(mode)
        return found[:2] if route.brief else found
    falls_back = bool(route.blocked)
    few = route.brief or (device == "cpu" and (route.kernels or falls_back))
    if mode == "decode":
        return _decode_few(route) if few else _decode()
    if mode == "decode@runner":
        alone = route.modes == ("decode@runner",)
        return _runner(brief=(device == "cpu" and not alone) or route.brief)
    return _expanded(mode, few)


def _dsa(mode: str) -> list[Scenario]:
    """Family C, whose generation is a Triton kernel: small tables, every setting.

    More than 30 rows, since fewer have no top-k plan; 3 steps and fewer copy to each
    backend, 4 to three at once, more to the rest one by one.
    """
    settings = {
        name: _SETTINGS[name] for name in ("impl", "seq_bits", "row_bits", "kv")
    }
    steps = (3, 4, 2, 5, 7) if mode.startswith("decode") else (1,)
    rows = pairwise({"steps": steps, **settings}, 5)
    small: dict[str, Any] = {"capture": (1, 3), "context": 200, "topk": 64}
    # Six replays come to every captured size: what a graph of one does, or a kernel that
    # is kept for one, shows there.
    counts = (6, 4, 3, 3, 3)
    found = [
        of_kind(mode, script=f"tour{count}", **small, **row)
        for count, row in zip(counts, rows, strict=True)
    ]
    wide = [
        of_kind(mode, n, 64, "fa3", 64, 64, (2, 32), 130, 64, 2, script="tour2")
        for n in ((3, 4) if mode.startswith("decode") else (1,))
    ]
    paged = of_kind(mode, steps[1 % len(steps)], 1, "fa3", 32, 32, (1, 3), 100, 64)
    if mode.startswith("decode"):
        shapes = (mode, 3, 64, "fa3", 64, 64, (48,), 130, 64)
        wide.append(of_kind(*shapes, script=_PLANNED))
    return [*found, *wide, replace(paged, script="recapture3")]


# What top-k plans by: as many rows over a length as it allows, one more, none; the next one.
_PLANNED = "65*30,64*18/65*31,1*17/97*45,96*3/1,97*46,64/97*30,64*18"


def _reduced(routes: tuple[Route, ...], device: str) -> list[str]:
    if device != "cpu":
        return []
    fewer: dict[str, list[str]] = {}
    for route in routes:
        for mode in route.modes:
            if _short(route, mode, "cpu") != _short(route, mode, "cuda"):
                fewer.setdefault(mode, []).append(route.label)
    turns = ["of the two poisons one a scenario, where a kernel is interpreted"]
    return [f"contexts over 4,096 (CUDA runs {CUDA_CONTEXT:,} too)", *turns] + [
        f"{mode} {', '.join(labels)}: fewer scenarios than on CUDA"
        for mode, labels in fewer.items()
    ]


def _decode() -> list[Scenario]:
    found = [
        Scenario("decode", capture=(1, 3, 8), script="tour6", **row)
        for row in pairwise({"steps": range(1, 9), **_SETTINGS}, 24)
    ]
    return [
        *found,
        Scenario("decode", 2, 64, "fa3", 64, 64, (1, 32, 128), script="tour6"),
        Scenario("decode", 3, 64, "flashmla_kv", 32, 32, (2, 64, 160), script="tour5"),
        Scenario("decode", 4, 64, "flashmla_kv", 64, 64, (1, 4, 8), script="recapture6"),
        Scenario("decode", 2, 1, "fa3", 32, 32, (1, 4, 8), script="recapture6"),
        Scenario("decode", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
        Scenario("decode", 2, 64, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        Scenario("decode", 2, 32, "fa3", 32, 32, (1, 8), 200, 50, script="tour7"),
        _BLOCKS,
    ]  # fmt: skip


# More rows than a kernel's block has, on CUDA any kernel's: sums are carried from block
# to block.
_BLOCKS = Scenario("decode", 1, 1, "fa3", 32, 64, (1030,), 80, 64, script="tour1")


def _decode_few(route: Route) -> list[Scenario]:
    steps = range(1, 9) if route.best or route.brief else (1, 3, 4, 8)
    rows = pairwise({"steps": steps, **_SETTINGS}, len(steps))
    found = [
        Scenario("decode", capture=(1, 3), script=f"tour{5 if i < 3 else 3}", **row)
        for i, row in enumerate(rows)
    ]
    # Every other route of this kernel would show the same.
    many = replace(
        _BLOCKS,
        capture=(300 if route.compiles else 150,),
        context=300,
        script="tour2",  # the second ends before the table does
    )
    blocks = [many] if route.best else []
    return [
        *found,
        Scenario("decode", 2, 1, "fa3", 32, 32, (1, 40), 256, 64, script="tour2"),
        Scenario("decode", 4, 64, "flashmla_kv", 64, 64, (1, 3), script="recapture4"),
        Scenario("decode", 2, 64, "fa3", 64, 64, (1, 5), 2500, 64, script="tour5"),
        Scenario("decode", 2, 32, "flashmla_kv", 32, 64, (1, 8), 200, 50, script="tour5"),
        *blocks,
    ]  # fmt: skip


def _runner(*, brief: bool) -> list[Scenario]:
    steps = (1, 6) if brief else range(1, 9)
    rows = pairwise({"steps": steps, **_SETTINGS}, len(steps))
    found = [
        of_kind(
            "decode@runner", capture=(1, 4), script=f"tour{5 if i < 4 else 3}", **row
        )
        for i, row in enumerate(rows)
    ]
    if not brief:
        found += [
            of_kind("decode@runner", 2, 1, "fa3", 64, 64, (1, 40), 256, 64, script="tour2"),
            of_kind("decode@runner", 1, 1, "fa3", 64, 64, (257,), 80, 64, script="tour1"),
            of_kind("decode@runner", 2, 64, "flashmla_kv", 32, 32, (3,), 4096, script="tour5"),
        ]  # fmt: skip
    return [
        *found,
        of_kind("decode@runner", 3, 64, "flashmla_kv", 64, 64, (1, 4), script="recapture6"),
        of_kind("decode@runner", 2, 64, "fa3", 32, 64, (1, 5), 2500, 64, script="tour7"),
    ]  # fmt: skip


def _expanded(mode: str, few: bool) -> list[Scenario]:
    drafts = (1, 2, 3, 4, 6) if few else (1, 2, 3, 4, 8)
    rows = pairwise({"draft": drafts, **_SETTINGS}, len(drafts) if few else 18)
    capture, script = ((1, 3), "tour4") if few else ((1, 3, 8), "tour6")
    found = [Scenario(mode, 1, capture=capture, script=script, **row) for row in rows]
    if not few:
        found += [
            Scenario(mode, 1, 64, "fa3", 32, 32, (1, 32, 128), script="tour6"),
            Scenario(mode, 1, 64, "flashmla_kv", 32, 64, (2, 64, 160), draft=3, script="tour4"),
            Scenario(mode, 1, 1, "fa3", 64, 32, (7,), 4096, 2048, script="tour7"),
        ]  # fmt: skip
    return [
        *found,
        Scenario(mode, 1, 64, "flashmla_kv", 64, 64, (1, 3), script="recapture4"),
        # Contexts that are no multiple of a page; tokens that overflow a block.
        Scenario(mode, 1, 64, "fa3", 32, 32, (1, 5), 2500, 64, 4, script="tour3"),
        Scenario(mode, 1, 32, "fa3", 32, 64, (1, 8), 200, 50, 5, script="tour5"),
        Scenario(mode, 1, 1, "fa3", 32, 64, (130,), 80, 64, 8, script="tour1"),
    ]


def _sample(mode: str, count: int) -> list[Scenario]:
    """A few that meet most of what can go wrong between settings; one: the shortest."""
    steps = 3 if mode.startswith("decode") else 1
    found = [
        of_kind(mode, steps, 64, "flashmla_kv", 64, 64, (1, 4), 1100, 64, script="tour4"),
        of_kind(mode, 1, 1, "fa3", 32, 32, (2, 3), 300, 64, kv="bf16", script="recapture4"),
        of_kind(
            mode, 2, 64, "flashmla_sparse", 64, 32, (1, 3, 5), 200, 64, static=32,
            prefill="flashmla_kv", script="tour5",
        ),
    ]  # fmt: skip
    if count == 1:
        return [replace(found[0], steps=min(steps, 2), capture=(1, 3), script="tour3")]
    return found[:count]


def _long(mode: str) -> list[Scenario]:
    """The model's own context, where offsets pass 2^24 elements."""
    capture = (1, 32, 128) if mode.startswith("decode") else (1, 32)
    return [
        of_kind(mode, 2, page, "flashmla_kv", 64, 64, capture, CUDA_CONTEXT)
        for page in (64, 1)
    ]
