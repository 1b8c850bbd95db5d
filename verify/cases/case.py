"""One case: play a scenario on both sides and reach an outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.compare.explain import Evidence, look
from verify.compare.layout import ByteMismatch, compare
from verify.outcome import Broken, Difference, Different, Identical, NotRun, Outcome
from verify.routes import Route, baseline_how
from verify.sides.process import Session, WorkerDied

if TYPE_CHECKING:
    import torch

Json = dict[str, Any]
CLOSER = 24  # buffers looked at closely in one case; the rest are counted


class Baseline:
    """The baseline's worker; every scenario is played there once and remembered."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._played: dict[tuple[str, str, int, int], Json | Broken] = {}
        self._last: tuple[str, str, int, int] | None = None

    def play(self, scenario: str, how: str, seed: int, poison: int) -> Json:
        """The reply of the worker. Raises WorkerDied, again if it died before."""
        key = (scenario, how, seed, poison)
        with self._lock:
            if key not in self._played:
                self._play(key)
            found = self._played[key]
        if isinstance(found, Broken):
            raise WorkerDied(found)
        return found

    def fetch(
        self, scenario: str, how: str, seed: int, poison: int, digests: list[str]
    ) -> dict[str, torch.Tensor]:
        key = (scenario, how, seed, poison)
        with self._lock:
            if self._last != key:
                self._play(key)
            return fetch(self.session, digests)

    def _play(self, key: tuple[str, str, int, int]) -> None:
        scenario, how, seed, poison = key
        try:
            reply = self.session.ask(
                op="play", scenario=scenario, how=how, seed=seed, poison=poison
            )
            self._last = key
            self._played[key] = reply
        except WorkerDied as death:
            self._last = None
            self._played[key] = death.broken


def fetch(session: Session, digests: list[str]) -> dict[str, torch.Tensor]:
    """Buffers that a worker kept, by the hash of their bytes."""
    import torch  # only a difference needs it here

    file = session.folder / "bytes.pt"
    session.ask(op="bytes", digests=sorted(set(digests)), file=str(file))
    loaded: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    Path(file).unlink()
    return loaded


def judge(
    baseline: Baseline,
    candidate: Session,
    *,
    scenario: str,
    mode: str,
    route: Route,
    in_tree: bool,
    seed: int,
    poison: int,
) -> Outcome:
    """Play on both sides at once; compare; fetch and look closer where they differ."""
    old: Json | Broken
    old_how, new_how = baseline_how(mode, in_tree), route.how(mode)
    try:
        candidate.send(
            op="play", scenario=scenario, how=new_how, seed=seed, poison=poison
        )
    except WorkerDied as death:
        return death.broken
    try:
        old = baseline.play(scenario, old_how, seed, poison)
    except WorkerDied as death:
        old = death.broken
    try:
        new = candidate.receive()
    except WorkerDied as death:
        return _death(old, death.broken)
    if isinstance(old, Broken):
        return old
    for reply in (old, new):
        if "not_applicable" in reply:
            return NotRun(reply["not_applicable"])
    compared = compare(old, new, shares=route.shares)
    if not compared.facts and not compared.mismatches:
        missing = route.missing(mode, new["counts"])
        if missing:
            message = f"the route did not run: {'; '.join(missing)}"
            return Broken("route", "candidate", message, tuple(new["warnings"][-3:]))
        replays = sum(bs > 0 for bs in old["bs"])
        return Identical(replays, compared.buffers, compared.bytes, compared.notes)
    try:
        closer = _closer(
            old,
            new,
            compared.mismatches[:CLOSER],
            lambda d: baseline.fetch(scenario, old_how, seed, poison, d),
            lambda d: fetch(candidate, d),
        )
    except WorkerDied as death:
        return death.broken
    closer += [_blunt(m, old) for m in compared.mismatches[CLOSER:]]
    order = sorted(
        [*closer, *compared.facts],
        key=lambda d: (d.replay, d.group in ("inputs", "given"), d.what == "state"),
    )
    return Different(tuple(order))


def _death(old: Json | Broken, broken: Broken) -> Outcome:
    """An exception that only the candidate raises is a difference, not a breakdown."""
    if broken.kind != "raised" or isinstance(old, Broken):
        return old if isinstance(old, Broken) else broken
    if "not_applicable" in old:
        return NotRun(old["not_applicable"])
    where = next((w for w in reversed(broken.where) if "/sglang/" in w), "")
    return Different(
        (
            Difference(
                "raised", "the candidate", "an exception", 0, 0,
                old="no exception", new=broken.message.splitlines()[0], note=where,
            ),
        )
    )  # fmt: skip


def _closer(
    old: Json,
    new: Json,
    mismatches: tuple[ByteMismatch, ...],
    fetch_old: Callable[[list[str]], dict[str, torch.Tensor]],
    fetch_new: Callable[[list[str]], dict[str, torch.Tensor]],
) -> list[Difference]:
    if not mismatches:
        return []
    wanted_old: list[str] = []
    wanted_new: list[str] = []
    for m in mismatches:
        first = _start(old, m.replay)
        wanted_old += [m.old, _digest(old, first, m), _digest(old, m.replay - 1, m)]
        wanted_new += [m.new, _digest(new, m.replay - 1, m)]
    bytes_old, bytes_new = fetch_old(wanted_old), fetch_new(wanted_new)
    found = []
    for m in mismatches:
        now_old, now_new = bytes_old[m.old], bytes_new[m.new]
        start = bytes_old[_digest(old, _start(old, m.replay), m)]
        before_old = bytes_old[_digest(old, m.replay - 1, m)]
        before_new = bytes_new[_digest(new, m.replay - 1, m)]
        evidence = Evidence(
            start=_same_size(start, now_old),
            before_old=_same_size(before_old, now_old),
            before_new=_same_size(before_new, now_new),
            old=now_old,
            new=now_new,
        )
        layout = old["layouts"][old["looks"][m.replay]["layout"]][m.group]
        bs = old["bs"][m.replay]
        found.append(look(m.group, m.root, m.replay, bs, layout, evidence))
    return found


def _start(reply: Json, replay: int) -> int:
    """The observation after the last poisoning: after capture or re-capture."""
    return max(i for i in range(replay + 1) if reply["bs"][i] <= 0)


def _digest(reply: Json, at: int, m: ByteMismatch) -> str:
    """Of the root at an observation; its own, now, where it was not there yet."""
    look = reply["looks"][max(0, at)]["digests"]
    now = reply["looks"][m.replay]["digests"][m.group][m.root]
    digest: str = look.get(m.group, {}).get(m.root, now)
    return digest


def _same_size(earlier: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    return earlier if earlier.shape == now.shape else now


def _blunt(m: ByteMismatch, old: Json) -> Difference:
    return Difference(
        "differs (not looked at closely)", m.group, m.root, m.replay,
        old["bs"][m.replay], old=m.old[:12], new=m.new[:12],
    )  # fmt: skip
