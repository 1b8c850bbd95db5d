"""Play one scenario on one side: build, capture, poison, replay, observe each time."""

from __future__ import annotations

import torch

from verify.worker.observe import guards
from verify.worker.observe.evidence import EVIDENCE, HostReads
from verify.worker.observe.observe import Observer
from verify.worker.play import scripts
from verify.worker.play.draft_runner import DraftRunner
from verify.worker.play.drivers import Base, Driver, Loop, MultiStep, PrecomputedPair
from verify.worker.protocol import Played
from verify.worker.scenario import Replay, Scenario, replays_text

DRIVERS: dict[str, type[Driver]] = {
    "multi": MultiStep,
    "loop": Loop,
    "base": Base,
    "pair": PrecomputedPair,
    "runner": DraftRunner,
}


def play(
    scenario: Scenario,
    driver_name: str,
    seed: int,
    poison: int,
    device: str,
    guarded: bool = True,
) -> tuple[Played, Observer]:
    """Observations of every replay, the first one taken before any.

    Raises NotApplicable where the tree has no such path.
    """
    guards.release_all()
    EVIDENCE.reset()
    driver = DRIVERS[driver_name](scenario, seed, device, guarded)
    observer = Observer(driver)
    observer.poison(poison)
    observations = [observer.observe(0, 0, "")]
    number = 0
    for replay in scripts.replays(scenario, seed):
        if replay.recapture is not None:
            driver.recapture(replay.recapture)
            observer.poison(poison)
            observations.append(observer.observe(number, 0, ""))
            continue
        number += 1
        observer.poison_seen(poison)
        driver.pools.change(number, replay)
        bs = _replay(driver, replay)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        observations.append(observer.observe(number, bs, replays_text((replay,))))
    found = EVIDENCE.found()
    return Played(
        observations=observations,
        layouts=observer.layouts,
        counts=found["counts"],
        consulted=found["consulted"],
        host=found["host"],
        forks=found["forks"],
        warnings=found["warnings"],
    ), observer


def _replay(driver: Driver, replay: Replay) -> int:
    with EVIDENCE.during("replay"):
        EVIDENCE.count("begun")
        if torch.device(driver.device).type == "cuda":
            return driver.replay(replay)
        with HostReads():
            return driver.replay(replay)
