"""The report of an engine bench: one schema for the table, the JSON and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from verify.bench.report.model import Estimate
from verify.bench.stats import Verdict
from verify.report.model import Model

Status = Literal[
    "identical", "other drafts", "different", "not comparable", "failed", "no memory",
    "not run",
]  # fmt: skip


class Result(Model):
    """One side at one cell.

    status         identical: ids, verify steps and accepted drafts of every request are
                   the original's in every repetition of every start; other drafts:
                   only the ids are; not comparable: the original's own ids are not the
                   same every time; no memory: it failed because the GPU's was full; not run:
                   the report is of a run that was stopped
    asked          how many times, in all starts
    differences    one line a request, at most; of the original: between its own runs
    verify_steps   of all requests
    tokens_a_step  new tokens by verify step, of all requests: the accept length
    accepted       verify steps by how many drafts they took: none, 1, 2, ...
    readings       milliseconds a verify step, a list a start
    gpu_ms         milliseconds of a verify step that the GPU was busy, by sglang's profiler
    """

    side: str
    status: Status
    asked: int
    differences: list[str]
    verify_steps: int
    tokens_a_step: float
    accepted: list[int]
    readings: list[list[float]]
    step_ms: Estimate | None
    gpu_ms: float | None
    ratio: Estimate | None
    verdict: Verdict | None


class CellReport(Model):
    """One point. ids_sha256: of the original's token ids, all requests.

    load: so many requests came and went, of prompts up to `prompt`; 0: `bs` at once.
    """

    steps: int
    prompt: int
    bs: int
    load: int
    ids_sha256: str
    results: list[Result]


class Memory(Model):
    """What an engine's processes had, in MB; gpu_mb: null where it is not known."""

    seconds: float
    host_mb: float
    gpu_mb: float | None


class SoakSide(Model):
    """One side in a soak.

    differing    requests that said something else than the original's
    varied       of such requests those to which the original, asked alone, says something
                 else than in the load too: they prove nothing
    differences  the first that differ, in words
    """

    side: str
    differing: int
    varied: int
    differences: list[str]
    memory: list[Memory]


class Soak(Model):
    """A load that went on: the same requests to all sides at once; counts of the original."""

    steps: int
    bs: int
    prompt: int
    seconds: float
    rounds: int
    requests: int
    aborted: int
    tokens: int
    verify: int
    sides: list[SoakSide]


class Start(Model):
    """One start of an engine.

    logged: lines by which a metadata path says that another one runs instead. routes: the
    paths that said that they run.

    no_memory: it failed because the GPU's memory was full.
    """

    steps: int
    side: str
    seconds: float
    logged: list[str]
    routes: list[str]
    failed: str
    no_memory: bool


class Host(Model):
    """Where it ran."""

    gpu: str
    python: str
    torch: str
    sglang: str


class EngineReport(Model):
    """Everything that one run measured."""

    schema_version: int
    tool: str
    command: str
    started: str
    seconds: float
    seed: int
    exit_code: int
    summary: str
    machine: Host
    tree: str
    commit: str
    release: str
    patches: list[str]
    gates: dict[str, dict[str, str | None]]
    beside: bool
    model: str
    new_tokens: int
    engine_args: dict[str, Any]
    cells: list[CellReport]
    soaks: list[Soak]
    starts: list[Start]
    notes: list[str]


def read(path: Path) -> EngineReport:
    """A report that was written before. Raises pydantic.ValidationError, OSError."""
    return EngineReport.model_validate_json(path.read_text(encoding="utf-8"))
