"""CUDA only: what calls made the GPU do, as CUPTI recorded it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch


class Launch(NamedTuple):
    """A kernel, copy or fill that ran: when it began and for how long, in µs."""

    start: float
    name: str
    us: float


def launches(calls: Sequence[Callable[[], Any]], count: int) -> list[Launch]:
    """Those of `count` calls taken in turn, each on an idle GPU, in the order they ran.

    What a graph's replay runs is among them; waiting for the GPU is not.
    """
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for i in range(count):
            torch.cuda.synchronize()
            calls[i % len(calls)]()
            torch.cuda.synchronize()
    return sorted(
        Launch(event.time_range.start, event.name, event.time_range.elapsed_us())
        for event in profiler.events() or ()
        if event.device_type == DeviceType.CUDA and not event.name.endswith("Sync")
    )
