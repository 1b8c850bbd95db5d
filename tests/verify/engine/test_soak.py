"""The loop of a soak, over engines that are not there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from verify.engine import request
from verify.engine.request import EngineOptions
from verify.engine.run.soak import Soaking
from verify.engine.run.up import Up
from verify.engine.sides import EngineSide

SAID = {"ids": [1, 2], "verify": 1, "accepted": [0, 1], "aborted": False}


class Asked:
    """Answers every load; during one of them a signal comes."""

    def __init__(self, interrupted: int) -> None:
        self.loads: list[dict[str, Any]] = []
        self.interrupted = interrupted

    def load(self, **load: Any) -> dict[str, Any]:
        self.loads.append(load)
        if len(self.loads) == self.interrupted:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"requests": [dict(SAID)] * load["count"]}

    def memory(self) -> dict[str, Any]:
        return {"host_mb": 1000.0 + len(self.loads), "gpu_mb": None}


def one_after_the_other(engines: Sequence[Up], action: Callable[[Up], None]) -> None:
    for up in engines:
        action(up)


def soak(minutes: float, interrupted: int = 0) -> tuple[Soaking, list[Asked]]:
    options = EngineOptions(
        Path(), "tiny", prompts=("3k", "120k"), bs=("4",), soak=minutes
    )
    asked, servers = request.read(options), [Asked(interrupted), Asked(0)]
    names = ("original", "patched")
    engines = [
        Up(asked, EngineSide(name, {}, {}), turn, None, server)  # type: ignore[arg-type]
        for turn, (name, server) in enumerate(zip(names, servers, strict=True))
    ]
    return Soaking(engines, asked, 3, one_after_the_other), servers


def test_the_load_changes_from_round_to_round_and_is_the_same_for_all() -> None:
    run, servers = soak(60)
    rounds = run.rounds()
    for _ in range(15):
        next(rounds)
    first, second = servers
    assert first.loads == second.loads
    assert len({load["seed"] for load in first.loads}) == 15
    assert {load["at_once"] for load in first.loads} == {1, 4, 8, 16}
    assert {load["longest"] for load in first.loads} == {122_880, 30_720, 3840}
    shapes = {(load["at_once"], load["longest"]) for load in first.loads}
    assert len(shapes) == 12
    assert run.found.rounds == 15
    assert run.found.requests == sum(load["count"] for load in first.loads)
    assert len(run.found.sides["original"].memory) == 1


def test_a_signal_ends_it_with_its_round_and_what_it_had_is_kept() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run, servers = soak(60, interrupted=3)
    assert len(list(run.rounds())) == 3
    assert run.stopped
    assert run.found.rounds == 3
    assert len(servers[1].loads) == 3
    memory = run.found.sides["patched"].memory
    assert [at.host_mb for at in memory] == [1001, 1003]
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 25))
    monkeypatch.setattr("verify.engine.run.soak.time.monotonic", lambda: next(now))
    run, _ = soak(2)
    assert len(list(run.rounds())) == 5
    assert run.found.seconds == 125
    assert [at.seconds for at in run.found.sides["original"].memory] == [25, 100, 125]
