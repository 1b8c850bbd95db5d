"""CUDA only: launches and host synchronisations of one replay call, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from verify.worker.observe import guards
from verify.worker.observe.launches import launches
from verify.worker.observe.syncs import host_syncs
from verify.worker.play import scripts
from verify.worker.play.play import driver_of
from verify.worker.protocol import Counted
from verify.worker.scenario import Scenario

_WARM = 2


def measure(scenario: Scenario, driver_name: str, seed: int, device: str) -> Counted:
    """Counts over the script's replays after two warm ones: launches, syncs, kernels."""
    guards.release_all()
    driver = driver_of(driver_name)(scenario, seed, device)
    kernels: Counter[str] = Counter()
    syncs = counted = 0

    def profiled(call: Callable[[], None]) -> None:
        kernels.update(one.name.split("(")[0][:80] for one in launches([call], 1))

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
        launches=round(sum(kernels.values()) / max(1, counted), 2),
        syncs=round(syncs / watches, 2),
        kernels=dict(kernels),
    )
