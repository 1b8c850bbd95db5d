"""Play one scenario on one side: build, capture, poison, replay, observe each time."""

from __future__ import annotations

from typing import Any

import torch

from verify.worker.observe import guards
from verify.worker.observe.evidence import EVIDENCE
from verify.worker.observe.observe import Observer
from verify.worker.play import scripts
from verify.worker.play.drivers import Base, Driver, Loop, MultiStep, Pair
from verify.worker.play.runner import Runner
from verify.worker.scenario import Scenario

DRIVERS: dict[str, type[Driver]] = {
    "multi": MultiStep,
    "loop": Loop,
    "base": Base,
    "pair": Pair,
    "runner": Runner,
}


def play(
    scenario: Scenario, how: str, seed: int, poison: int, device: str
) -> tuple[dict[str, Any], Observer]:
    """Observations of every replay, the first one taken before any.

    Raises NotApplicable where the tree has no such path.
    """
    guards.release_all()
    EVIDENCE.reset()
    driver = DRIVERS[how](scenario, seed, device)
    observer = Observer(driver)
    observer.poison(poison)
    looks = [observer.look()]
    steps: list[int] = [0]
    for replay in scripts.replays(scenario, seed):
        if replay.recapture is not None:
            driver.recapture(replay.recapture)
            observer.poison(poison)
            steps.append(-1)
        else:
            observer.poison_seen(poison)
            with EVIDENCE.during("replay"):
                EVIDENCE.count("begun")
                steps.append(driver.replay(replay))
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        looks.append(observer.look())
    result = {
        "looks": looks,
        "bs": steps,
        "layouts": observer.structures,
        "unguarded": _unguarded(observer),
        **EVIDENCE.found(),
    }
    return result, observer


def _unguarded(observer: Observer) -> list[str]:
    names: set[str] = set()
    for layout in observer.structures:
        for group, found in layout.items():
            if group != "plain":
                names |= {path for path, s in found["sizes"].items() if s[1] < 0}
    return sorted(names)
