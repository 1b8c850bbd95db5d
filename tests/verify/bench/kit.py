"""Planted measurements: sides whose times and hashes are known, no process started."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verify.bench.points import CURVE, Curve, Plan, PlannedPoint, Point
from verify.bench.report.build import Provenance, build
from verify.bench.report.model import BenchReport
from verify.bench.run import Measured, Samples
from verify.bench.sides import ORIGINAL, Side
from verify.sides.source import Source

RATE = 4.3e12
EQUAL = {"backend 0: page_table": "aa", "backend 0: bs8.cu_seqlens_k": "bb"}
TWIN = "the draft's graph, gates off"
WRONG = {**EQUAL, "backend 0: page_table": "ff"}


def side(name: str, kind: str = "route", **more: Any) -> Side:
    applied = ("fan-out 1", "in-graph 1") if kind == "route" else ()
    source = Source(
        f"tree of {name}",
        "0.5.6.post2",
        lambda rel: None,
        applied=applied,
        commit="c0ffee",
    )
    return Side(name, kind, ("decode",), source, Path(name), {}, **more)


def data(
    name: str,
    us: float,
    kind: str = "route",
    *,
    rounds: int = 20,
    noise: float = 0.01,
    launches: int = 1,
    digests: dict[str, str] = EQUAL,
    **more: Any,
) -> Samples:
    """A side that takes `us` a call, give or take `noise`."""
    draw = random.Random(name)
    times = [us * (1 + draw.uniform(-noise, noise)) for _ in range(rounds)]
    return Samples(
        side(name, kind, **more),
        host=[t * 0.95 for t in times],
        call=times,
        facts={
            "destinations": 4, "memory_bytes": 84_000_000,
            "bytes_least": 43e6, "warnings": [],
        },
        profile={
            "launches": float(launches),
            "device": [us / 50] * 10,
            "kernels": {f"kernel_{name}": {"launches": launches, "us": us / 50}},
            "graph_kernels": {},
            "syncs": 0.0,
        },
        digests=dict(digests),
    )  # fmt: skip


def in_graph(added: float, rounds: int = 20) -> list[Samples]:
    """The in-graph route, which launches nothing, and its twin."""
    route = data("in-graph", 8, launches=0, twin=TWIN, rounds=rounds)
    assert route.profile is not None
    route.profile.update(device=[0.0], kernels={})
    twin = data(TWIN, 30, "twin", rounds=rounds)
    route.graph, twin.graph = [25.0 + added] * rounds, [25.0] * rounds
    route.launch = twin.launch = [6.0] * rounds
    return [route, twin]


def original(us: float = 1000, **more: Any) -> Samples:
    return data(ORIGINAL, us, "original", launches=68, **more)


def measured(*found: Samples, **place: Any) -> Measured:
    values = {"mode": "decode", "steps": 4, "bs": 32, "length": 16384, **place}
    return Measured(PlannedPoint(Point(**values), CURVE), 16, list(found))


def report(
    found: Sequence[Measured],
    curves: Sequence[Curve] = (),
    *,
    device: str = "cuda",
    min_speedup: float | None = None,
    of: int = 0,
) -> BenchReport:
    """of: it was stopped, of so many points."""
    provenance = Provenance(
        sides=[d.side for d in found[0].samples],
        used={},
        about={
            "device": "a GPU",
            "python": "3.12",
            "torch": "2.11",
            "triton": "3.6",
            "pid": 1,
        },
        rates={"copy_bytes_per_s": RATE, "l2_bytes": 50 << 20, "idle_sync_us": 4.0},
        device=device,
        seed=0,
        arguments=["tree", "--against", "0.5.7"],
        started="2025-12-01T00:00:00+00:00",
        seconds=12.0,
        min_speedup=min_speedup,
        stopped=of > 0,
    )
    left = [
        PlannedPoint(Point("decode", 4, 1, n), CURVE) for n in range(len(found), of)
    ]
    points = (*(m.planned for m in found), *left)
    return build(provenance, Plan(points, tuple(curves)), found)
