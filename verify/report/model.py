"""The report: one schema for the console, JSON, JUnit, HTML and annotations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["identical", "different", "unverified"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grid(Model):
    """Where in a buffer elements differ: counts in a grid squeezed to fit a page.

    full: elements that a cell stands for; its count is at most that.
    """

    shape: list[int]
    cells: list[list[int]]
    full: int


class Found(Model):
    """One buffer, or one fact of layout or state, that differs."""

    what: str
    owner: str
    field: str
    replay: int
    bs: int
    index: list[int]
    old: str
    new: str
    count: int
    total: int
    note: str
    line: str
    grid: Grid | None


class Failure(Model):
    """One finding: cases that are not identical for one cause, shown by the smallest.

    kind: "different", or how it broke down; side: of a breakdown. places: `mode/route`.
    """

    route: str
    mode: str
    scenario: str
    seed: int
    poisons: list[int]
    kind: str
    side: str
    cases: int
    scenarios: int
    backends: list[str]
    places: list[str]
    batch: str
    line: str
    detail: list[str]
    reproduce: str
    found: list[Found]


class Cell(Model):
    """One route in one mode."""

    route: str
    mode: str
    identical: int
    different: int
    broken: int
    not_run: int
    replays: int
    seconds: float
    reasons: list[str]
    notes: list[str]


class SideReport(Model):
    """A side: where it came from, and the sha256 of every file it ran.

    commit: of the git checkout that the tree is, empty where it is none.
    """

    label: str
    release: str
    patches: list[str]
    commit: str
    files: dict[str, str]
    edited: list[str]


class WorkerReport(Model):
    """What a worker process said of itself."""

    side: str
    gates: dict[str, str | None]
    blocked: list[str]
    python: str
    torch: str
    triton: str | None
    cuda: str | None
    driver: str | None
    platform: str
    device: str
    standins: list[str]


class Counters(Model):
    """CUDA only: per replay, of one scenario a route."""

    route: str
    mode: str
    side: str
    scenario: str
    launches: float
    syncs: float
    kernels: dict[str, int]


class Device(Model):
    kind: str
    name: str
    logic_only: bool


class Totals(Model):
    cases: int
    identical: int
    different: int
    broken: int
    not_run: int
    replays: int
    buffers: int
    bytes: int
    seconds: float


class Incomplete(Model):
    """A run that was stopped: how much of it was done, and of how much, if that is known."""

    done: int
    of: int | None

    def words(self, what: str) -> str:
        """How a summary begins; what: "cases" or "points"."""
        of = "" if self.of is None else f" of {self.of:,}"
        return f"incomplete, {self.done:,}{of} {what}"


class Report(Model):
    """Everything a verification found.

    incomplete: it was stopped, and has no verdict; None: it came to its end.
    """

    schema_version: int
    tool: str
    verdict: Verdict
    exit_code: int
    incomplete: Incomplete | None = None
    summary: str
    command: str
    started: str
    device: Device
    runtime: str
    baseline: SideReport
    candidate: SideReport
    workers: list[WorkerReport]
    seed: int
    poisons: list[int]
    matrix: list[Cell]
    failures: list[Failure]
    counters: list[Counters]
    not_run: list[str]
    standins: list[str]
    notes: list[str]
    totals: Totals


def dump(report: Model) -> str:
    """A report as JSON, with a final newline."""
    return report.model_dump_json(indent=1) + "\n"
