"""A load that goes on: the same requests to every side at once, round after round."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from verify.cli.progress import say
from verify.engine.compare import Json, Soaked, SoakedSide, difference
from verify.engine.report.model import Memory
from verify.engine.request import Asked
from verify.engine.run.up import SHORT_TOKENS, Up
from verify.engine.sides import ORIGINAL

SHOWN = 20
"""Differences that are kept by their words, a side."""
EVERY = 60.0
"""Seconds between two looks at the memory."""

All = Callable[[Sequence[Up], Callable[[Up], None]], None]


class Soaking:
    """Rounds of requests that come and go, until the time is over or it is interrupted.

    From round to round the prompts, how many wait or run at once and the longest prompt
    change. at_once: asks all engines the same. found: what there is so far.
    """

    def __init__(
        self, engines: Sequence[Up], asked: Asked, steps: int, at_once: All
    ) -> None:
        self.engines, self.asked, self.at_once = engines, asked, at_once
        cells = [cell for cell in asked.cells if cell.steps == steps]
        self.bs = max(cell.bs for cell in cells)
        self.prompt = max(cell.prompt for cell in cells)
        sides = {up.side.name: SoakedSide() for up in engines}
        self.found = Soaked(steps, self.bs, self.prompt, sides)
        self.stopped = False
        self._looked = -EVERY

    def rounds(self) -> Iterator[None]:
        """After every round. SIGINT or SIGTERM ends it with its round. Raises `Refusal`."""
        began, wanted = time.monotonic(), self.asked.options.soak * 60
        with self._until_signal():
            while self.found.seconds < wanted and not self.stopped:
                self._round(self._load(self.found.rounds))
                self.found.seconds = time.monotonic() - began
                last = self.stopped or self.found.seconds >= wanted
                if last or self.found.seconds - self._looked >= EVERY:
                    self._looked = self.found.seconds
                    self.at_once(self.engines, self._look)
                    say(f"  {self.found.brief}")
                yield

    @contextlib.contextmanager
    def _until_signal(self) -> Iterator[None]:
        def end(number: int, frame: FrameType | None) -> None:
            say("  the soak ends with this round; a second signal ends it now")
            self.stopped = True
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            restore()

    def _load(self, number: int) -> dict[str, Any]:
        waiting = (2 * self.bs, self.bs, 4 * self.bs, 1, 2 * self.bs)[number % 5]
        return {
            "seed": self.asked.options.seed + 1 + number,
            "count": max(6, 2 * waiting),
            "longest": max(1, self.prompt // (1, 32, 4)[number % 3]),
            "vocabulary": self.asked.vocabulary,
            "new_tokens": SHORT_TOKENS + self.asked.options.new_tokens,
            "at_once": waiting,
        }

    def _round(self, load: dict[str, Any]) -> None:
        answers: dict[str, list[Json]] = {}

        def ask(up: Up) -> None:
            answers[up.side.name] = up.server.load(**load)["requests"]

        self.at_once(self.engines, ask)
        said = answers[ORIGINAL]
        self.found.rounds += 1
        self.found.requests += len(said)
        self.found.aborted += sum(request["aborted"] for request in said)
        self.found.tokens += sum(len(request["ids"]) for request in said)
        self.found.verify += sum(request["verify"] for request in said)
        for name, side in self.found.sides.items():
            if name != ORIGINAL and name in answers:
                self._compare(load, said, answers[name], side)

    def _compare(
        self,
        load: dict[str, Any],
        said: list[Json],
        other: list[Json],
        side: SoakedSide,
    ) -> None:
        """A request counts as different if the original says alone what it said in the load."""
        for i, (old, new) in enumerate(zip(said, other, strict=True)):
            line = difference(old, new)
            if not line:
                continue
            if difference(old, self._alone(load, i)):
                side.varied += 1
                continue
            side.differing += 1
            if len(side.differences) < SHOWN:
                side.differences.append(
                    f"round {self.found.rounds}, request {i}: {line}"
                )

    def _alone(self, load: dict[str, Any], number: int) -> Json:
        """What the original says to one request of a load, with nothing beside it."""
        said: list[Json] = []

        def ask(up: Up) -> None:
            said.extend(up.server.load(**load, only=number)["requests"])

        for up in self.engines:
            if up.side.name == ORIGINAL:
                up.attempt(ask)
        return said[0]

    def _look(self, up: Up) -> None:
        memory = up.server.memory()
        self.found.sides[up.side.name].memory.append(
            Memory(seconds=self.found.seconds, **memory)
        )
