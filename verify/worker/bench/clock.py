"""The clocks: host and device time of a call, graphs back to back, CUPTI's records."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from verify.worker.bench.messages import (
    Attached,
    GraphTimes,
    KernelTime,
    Profiled,
    Rates,
    Times,
)
from verify.worker.observe.launches import Launch, launches
from verify.worker.observe.syncs import host_syncs

Call = Callable[[], Any]
WARM_CALLS = 3
WARM_GRAPHS = 20
COPY_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}


class Clock:
    """Times on a CPU: the host's clock alone, and nothing of a device."""

    def sync(self) -> None:
        """Nothing runs after a call returned."""

    def round(self, calls: Sequence[Call], first: int, count: int) -> Times:
        """Host µs and host+device µs of `count` calls, each on an idle device.

        The first few, after another process had the GPU, are not counted.
        """
        host, total = [], []
        now = time.perf_counter_ns
        sync = self.sync
        gc.collect()
        gc.disable()
        try:
            for i in range(-WARM_CALLS, count):
                call = calls[(first + i) % len(calls)]
                sync()
                began = now()
                call()
                returned = now()
                sync()
                done = now()
                if i >= 0:
                    host.append((returned - began) / 1e3)
                    total.append((done - began) / 1e3)
        finally:
            gc.enable()
        return Times(host=host, total=total)

    def graph(self, replay: Call, replays: int) -> GraphTimes:
        """µs a graph replay, and µs that the host took to launch one."""
        began = time.perf_counter_ns()
        for _ in range(replays):
            replay()
        took = (time.perf_counter_ns() - began) / 1e3 / replays
        return GraphTimes(graph=took, launch=took)


class CudaClock(Clock):
    """Times on a GPU."""

    def sync(self) -> None:
        torch.cuda.synchronize()

    def graph(self, replay: Call, replays: int) -> GraphTimes:
        start, end = _event(), _event()
        for _ in range(WARM_GRAPHS):
            replay()
        start.record()
        began = time.perf_counter_ns()
        for _ in range(replays):
            replay()
        launch = (time.perf_counter_ns() - began) / 1e3 / replays
        end.record()
        end.synchronize()
        took = start.elapsed_time(end) * 1e3 / replays
        return GraphTimes(graph=took, launch=launch)


def attach() -> Attached:
    """Attach the profiler: the first time takes a second or more."""
    fill = functools.partial(torch.zeros, 1, device="cuda")
    return Attached(records=len(launches([fill], 2)))


def profile(calls: Sequence[Call], count: int, graph: Call | None) -> Profiled:
    """Of `count` calls in turn; graph: a replay whose kernels are recorded apart."""
    outside = launches(calls, count)
    inside = launches([graph], count) if graph else []
    torch.cuda.synchronize()
    return Profiled(
        launches=len(outside) / count,
        syncs=sum(map(host_syncs, calls[:2])) / len(calls[:2]),
        device=busy(outside, count),
        kernels=_by_name(outside, count),
        graph_kernels=_by_name(inside, count),
    )


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def of(device: str) -> Clock:
    """The clock for a device."""
    return Clock() if device == "cpu" else CudaClock()


def release(device: str) -> None:
    """Give the memory of the point before back."""
    if device != "cpu":
        torch.cuda.empty_cache()


def _by_name(found: Sequence[Launch], count: int) -> dict[str, KernelTime]:
    kernels: dict[str, list[float]] = {}
    for launch in found:
        kernels.setdefault(launch.name, []).append(launch.us)
    return {
        name: KernelTime(launches=len(took) / count, us=sum(took) / count)
        for name, took in kernels.items()
    }


def busy(found: Sequence[Launch], count: int) -> list[float]:
    """µs of the GPU by call; the mean of all where the launches do not divide."""
    took = [launch.us for launch in found]
    if len(took) % count:
        return [sum(took) / count]
    size = len(took) // count
    return [sum(took[i * size : (i + 1) * size]) for i in range(count)]


def rates(device: str) -> Rates:
    """The rate of a large device-to-device copy, and the size of the last cache."""
    source = torch.ones(COPY_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = sorted(_copy_seconds(source, target, device) for _ in range(20))[10]
    found = Rates(
        copy_bytes_per_s=2 * source.numel() / seconds, l2_bytes=0, idle_sync_us=None
    )
    if device != "cpu":
        found["l2_bytes"] = torch.cuda.get_device_properties(0).L2_cache_size
        found["idle_sync_us"] = sorted(_idle_sync() for _ in range(200))[100]
    del source, target
    release(device)
    return found


def _copy_seconds(source: torch.Tensor, target: torch.Tensor, device: str) -> float:
    if device == "cpu":
        began = time.perf_counter()
        target.copy_(source)
        return time.perf_counter() - began
    start, end = _event(), _event()
    target.copy_(source)
    start.record()
    target.copy_(source)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def _idle_sync() -> float:
    began = time.perf_counter_ns()
    torch.cuda.synchronize()
    return (time.perf_counter_ns() - began) / 1e3
