"""An engine that is up, what is asked of it at one cell, and what all of them gave."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from patcher.results import Exit, Reason, Refusal
from verify.cli.progress import say
from verify.engine.compare import Run, Soaked, Workload, step_ms
from verify.engine.report.model import Start
from verify.engine.request import Asked
from verify.engine.run.server import Json, Server, ServerFailed
from verify.engine.sides import ORIGINAL, EngineSide, Package

SHORT_TOKENS = 8
_TOLD = ("NSA metadata kernel", "falling back to loop")
"""What a line has in it by which a metadata path says that another one runs instead."""
_ROUTE = "NSA metadata route: "
"""What a line has in it by which one says that it runs."""
_FULL = re.compile(r"CUDA (?:error: )?out of memory(\. Tried to allocate [\d.]+ \w+)?")


@dataclass
class Gathered:
    """What all starts gave."""

    runs: dict[Workload, list[Run]] = field(default_factory=lambda: defaultdict(list))
    starts: list[Start] = field(default_factory=list)
    soaks: list[Soaked] = field(default_factory=list)


@dataclass
class Up:
    """A side's engine. turn: which start it is. failed: why it is asked no more.

    no_memory: that it found no GPU memory, in its words.
    """

    asked: Asked
    side: EngineSide
    turn: int
    package: Package
    server: Server
    seconds: float = 0.0
    failed: str = ""
    no_memory: str = ""

    def attempt(self, action: Callable[[Up], None]) -> None:
        """Runs it, unless the engine failed before. Raises `Refusal` if the original fails."""
        if self.failed:
            return
        try:
            action(self)
        except ServerFailed as failure:
            self.no_memory = _out_of_memory(self.server.printed)
            self.failed = self.no_memory or str(failure)
            say(f"  {self.side.name} failed: {self.failed}")
            if self.side.name == ORIGINAL:
                what = f"the engine of the originals failed: {self.failed}"
                reason = Reason("", "", what, lines=failure.lines)
                raise Refusal(reason, code=Exit.UNAVAILABLE) from None
            for line in failure.lines:
                say(f"    {line}")

    def start(self, model: str, steps: int) -> None:
        """Starts the engine. Raises ServerFailed, and `Refusal` if it is another sglang."""
        about = self.server.start(self.asked.arguments(model, steps, self.turn))
        self.seconds = about["seconds"]
        if Path(about["folder"]).resolve() != (self.package.home / "sglang").resolve():
            what = "another sglang comes first on the interpreter's path"
            raise Refusal(Reason(about["folder"], "", what), code=Exit.UNAVAILABLE)
        say(f"  {self.side.name}: up in {self.seconds:.0f} s")

    def told(self, steps: int) -> Start:
        """The start as it is reported."""
        printed = self.server.printed
        lines = [line for line in printed if any(t in line for t in _TOLD)]
        routes = [
            line.partition(_ROUTE)[2].strip() for line in printed if _ROUTE in line
        ]
        return Start(
            steps=steps, side=self.side.name, seconds=self.seconds,
            logged=list(dict.fromkeys(lines)), routes=list(dict.fromkeys(routes)),
            failed=self.failed, no_memory=bool(self.no_memory),
        )  # fmt: skip

    def warm(self, cell: Workload) -> Run:
        """The first answer to a cell, which is not timed; all of it for a load."""
        return Run(self.side.name, self.turn, [self._said(cell)])

    def again(self, run: Run, cell: Workload) -> None:
        """The same once more, for its tokens."""
        run.answers.append(self._said(cell))

    def _said(self, cell: Workload) -> list[Json]:
        if not cell.load:
            return list(self._generate(cell)["requests"])
        options = self.asked.options
        said = self.server.load(
            seed=options.seed, count=cell.load, longest=cell.prompt,
            new_tokens=SHORT_TOKENS + options.new_tokens,
            vocabulary=self.asked.vocabulary, at_once=2 * cell.bs,
        )  # fmt: skip
        return list(said["requests"])

    def time(self, run: Run, cell: Workload) -> None:
        """A short and a long generation, for the tokens and the time of a step."""
        short = self._generate(cell, short=True)
        long = self._generate(cell)
        run.answers.append(long["requests"])
        taken = step_ms(short, long)
        if taken is not None:
            run.step_ms.append(taken)

    def profile(self, run: Run, cell: Workload) -> None:
        """The same under sglang's profiler, for how long the GPU is busy in a step."""
        short = self._generate(cell, short=True, profile=True)
        long = self._generate(cell, profile=True)
        run.answers.append(long["requests"])
        run.gpu_ms = step_ms(short, long, "gpu_seconds")

    def _generate(
        self, cell: Workload, short: bool = False, profile: bool = False
    ) -> Json:
        options = self.asked.options
        return self.server.generate(
            seed=options.seed, lengths=cell.lengths, vocabulary=self.asked.vocabulary,
            new_tokens=SHORT_TOKENS + options.new_tokens * (not short), profile=profile,
        )  # fmt: skip


@contextmanager
def process(
    asked: Asked, side: EngineSide, turn: int, package: Package, python: str
) -> Iterator[Up]:
    """The process of a side's engine, which is not started yet. Raises ServerFailed."""
    environment = package.environment(side, asked.environment)
    with Server(python, package.place / "run", environment) as server:
        yield Up(asked, side, turn, package, server)


def _out_of_memory(lines: Iterable[str]) -> str:
    """What an engine printed when it found no memory; empty: it did not."""
    found = (_FULL.search(line) for line in lines)
    return next((f"out of GPU memory{match[1] or ''}" for match in found if match), "")
