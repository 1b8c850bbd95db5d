"""Measures one side: prepare a point, time rounds of it, profile it, hash its buffers.

The state of a point lives from `prepare` to the next `prepare`. Nothing here decides
anything: the parent shuffles the sides and compares what comes back.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verify.worker.bench import clock
from verify.worker.bench.drive import Timed, make
from verify.worker.bench.inputs import Place
from verify.worker.bench.kernels import own
from verify.worker.bench.messages import Digests, Prepare, Prepared
from verify.worker.bench.outputs import digests
from verify.worker.observe.evidence import EVIDENCE
from verify.worker.play.driver import NoSuchPath
from verify.worker.play.nsa import BACKEND
from verify.worker.protocol import NotApplicable as Absent
from verify.worker.tree.isolate import Isolated


@dataclass
class _State:
    """What is measured now; `turn` counts calls, so that the input sets take turns."""

    driver: Timed
    calls: list[Any]
    turn: int = 0


_now: list[_State] = []
_fair: list[tuple[str, str]] = []


def handle(request: Any, device: str, finder: Isolated) -> Mapping[str, Any]:
    """The reply to a request of verify.worker.bench.messages."""
    op = request["op"]
    if op == "bench-attach":
        return clock.attach()
    if op == "bench-rates":
        return clock.rates(device)
    if op == "bench-prepare":
        point = Place(**request["point"])
        _be_fair(device, finder, point)
        return _prepare(request, point, device)
    state = _now[0]
    timer = clock.of(device)
    if op == "bench-round":
        times = timer.round(state.calls, state.turn, request["calls"])
        state.turn += request["calls"]
        return times
    if op == "bench-graph":
        return timer.graph(state.driver.graph_replay, request["replays"])
    if op == "bench-profile":
        graph = state.driver.graph_replay if request["graph"] else None
        return clock.profile(state.calls, request["calls"], graph)
    if op == "bench-outputs":
        return Digests(digests=digests(state.driver))
    raise ValueError(f"unknown request {op!r}")


def _be_fair(device: str, finder: Isolated, point: Place) -> None:
    """On a GPU the tree's own kernels, or stand-ins that launch as often as they do."""
    kernels = point.mode, point.impl
    if device == "cpu" or kernels in _fair:
        return
    EVIDENCE.rest()
    standins = finder.standins
    own.use(finder, device, *kernels)
    _fair.append(kernels)
    if len(_fair) > 1:
        return
    with contextlib.suppress(ImportError):  # triton is blocked: the verifier's stay
        from verify.worker.bench.kernels import copies, fair

        fair.install(standins)
        copies.install(standins)
        fair.install_expand(importlib.import_module(BACKEND))


def _prepare(request: Prepare, point: Place, device: str) -> Prepared | Absent:
    """Build and capture the point's state, then call it until everything is compiled."""
    EVIDENCE.rest()
    _now.clear()
    gc.collect()
    clock.release(device)
    try:
        driver = make(point, request["seed"], device, request["graph"])
    except NoSuchPath as error:
        return Absent(not_applicable=str(error))
    state = _State(driver, [driver.call(inputs) for inputs in driver.inputs_sets])
    for call in state.calls:  # every set: a kernel may be compiled for its numbers
        call()
    clock.of(device).sync()
    _now.append(state)
    return Prepared(
        destinations=driver.destinations(),
        memory_bytes=driver.memory_bytes,
        bytes_least=driver.bytes_least(),
        warnings=list(EVIDENCE.warnings),
    )
