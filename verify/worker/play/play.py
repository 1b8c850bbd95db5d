"""Play one scenario on one side: build, capture, poison, replay, observe each time."""

from __future__ import annotations

import torch

from verify.worker.observe import guards
from verify.worker.observe.evidence import EVIDENCE, HostReads
from verify.worker.observe.live import Contract
from verify.worker.observe.observe import Observer
from verify.worker.play import dsa, dsa_runner, nsa, scripts, verify_runner
from verify.worker.play.draft_runner import DraftRunner
from verify.worker.play.driver import Driver
from verify.worker.protocol import Played
from verify.worker.scenario import Replay, Scenario, replays_text
from verify.worker.tree import family, standins

DRIVERS: dict[str, type[Driver]] = {
    **nsa.DRIVERS,
    "runner": DraftRunner,
    "loop-runner": DraftRunner,
}
DSA_DRIVERS: dict[str, type[Driver]] = {
    **dsa.DRIVERS,
    "runner": dsa_runner.DsaRunner,
    "loop-runner": dsa_runner.DsaLoopRunner,
    "verify-runner": verify_runner.VerifyRunner,
    "base-runner": verify_runner.VerifyRunner,
}
BASELINES = ("loop", "base", "loop-runner", "base-runner")


def driver_of(name: str) -> type[Driver]:
    """The driver of this name for this process's tree."""
    return (DSA_DRIVERS if family.is_dsa_here() else DRIVERS)[name]


def play(
    scenario: Scenario,
    driver_name: str,
    seed: int,
    poison: int,
    device: str,
    guarded: bool = True,
) -> tuple[Played, Observer]:
    """Observations of every replay, the first one taken before any.

    Raises NoSuchPath where the tree has no such path.
    """
    guards.release_all()
    EVIDENCE.reset()
    standins.Schedule.by_formula = poison != 0
    driver = driver_of(driver_name)(scenario, seed, device, guarded)
    observer = Observer(driver)
    contract = Contract(driver, driver_name in BASELINES)

    def spoil() -> None:
        observer.poison(poison)
        if family.is_dsa_here():
            contract.start()

    spoil()
    observations = [observer.observe(0, 0, "")]
    number = 0
    for replay in scripts.replays(scenario, seed):
        if replay.recapture is not None:
            driver.recapture(replay.recapture)
            spoil()
            observations.append(observer.observe(number, 0, ""))
            continue
        number += 1
        observer.poison_seen(poison)
        driver.pools.change(number, replay)
        contract.before()
        bs = _replay(driver, replay)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        if family.is_dsa_here():
            contract.after(bs)
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
    with EVIDENCE.during("replay"), EVIDENCE.overhear():
        EVIDENCE.count("begun")
        if torch.device(driver.device).type == "cuda":
            return driver.replay(replay)
        with HostReads(forks=True):
            return driver.replay(replay)
