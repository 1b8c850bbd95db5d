"""CUDA only: launches and host synchronisations of one replay call, counted.

Launches are what the profiler sees the host submit: kernels, copies, memsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from verify.worker.observe import guards
from verify.worker.observe.syncs import host_syncs
from verify.worker.play import scripts
from verify.worker.play.play import DRIVERS
from verify.worker.protocol import Counted
from verify.worker.scenario import Scenario

_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaMemcpy", "cudaMemset", "cudaGraphLaunch")
_WARM = 2


def measure(scenario: Scenario, driver_name: str, seed: int, device: str) -> Counted:
    """Counts over the script's replays after two warm ones: launches, syncs, kernels."""
    guards.release_all()
    driver = DRIVERS[driver_name](scenario, seed, device)
    launches: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    syncs = counted = 0

    def profiled(call: Callable[[], None]) -> None:
        torch.cuda.synchronize()
        activities = [
            torch.profiler.ProfilerActivity.CPU,
            torch.profiler.ProfilerActivity.CUDA,
        ]
        with torch.profiler.profile(activities=activities) as profile:
            call()
            torch.cuda.synchronize()
        for event in profile.events():
            if event.name.startswith(_LAUNCHES):
                launches[event.name] += 1
            elif str(event.device_type).endswith("CUDA"):
                kernels[event.name.split("(")[0][:80]] += 1

    def watched(call: Callable[[], None]) -> None:
        nonlocal syncs
        syncs += host_syncs(call)

    for number, replay in enumerate(scripts.replays(scenario, seed)):
        if replay.recapture is not None:
            continue
        if number < _WARM:
            driver.replay(replay)
        elif number % 2:
            driver.replay(replay, profiled)
            counted += 1
        else:
            driver.replay(replay, watched)
    watches = max(1, len(scripts.replays(scenario, seed)) - _WARM - counted)
    return Counted(
        launches=round(sum(launches.values()) / max(1, counted), 2),
        syncs=round(syncs / watches, 2),
        kernels=dict(kernels),
    )
