"""A soak: its loop over engines that are not there, and the command with one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.verify.engine import kit
from verify.engine import request
from verify.engine.report import model
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


SOAK = ("--soak", "0.02", "--bs", "2", "--quick")


def test_a_soak_compares_request_by_request(go: kit.Go, tmp_path: Path) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    code, out, err = go(
        kit.tree(tmp_path / "tree"),
        *kit.QUICK,
        *SOAK,
        "--json",
        file,
        "--report",
        folder,
    )
    assert code == 0, err
    (soak,) = model.read(file).soaks
    assert soak.rounds >= 1
    assert soak.requests >= 12
    assert 0 < soak.aborted < soak.requests
    assert soak.seconds >= 1.2
    for side in soak.sides:
        assert (side.differing, side.varied) == (0, 0)
        assert side.memory[-1].host_mb > 1
        assert side.memory[-1].gpu_mb is None
    assert "requests, " in out
    assert "0 differ" in out
    assert "A load that goes on" in (folder / "engine.html").read_text()


def test_a_soak_finds_a_token_that_differs(go: kit.Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}LOSES = True\n")
    code, out, _ = go(tree, *kit.QUICK, *SOAK, "--json", file)
    assert code == 1
    old, new = model.read(file).soaks[0].sides
    assert old.differing == 0
    assert new.differing > 0
    assert "3 steps, soak, patched: round 1, request " in out
    assert "differs: none instead of" in out


def test_a_request_of_a_soak_to_which_the_original_varies_proves_nothing(
    go: kit.Go, tmp_path: Path
) -> None:
    varies, file = f"{kit.ORIGINAL}VARIES = True\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=varies), *kit.QUICK, *SOAK, "--json", file,
        site=kit.site(tmp_path / "site", backend=varies),
    )  # fmt: skip
    assert code == 0
    side = model.read(file).soaks[0].sides[1]
    assert side.differing == 0
    assert side.varied > 0
    assert "prove nothing: the original varies there" in out
