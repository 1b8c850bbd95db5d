"""The reports that ship a schema, and where it lies."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

import verify
from verify.bench.report.compare import Comparison
from verify.bench.report.model import BenchReport
from verify.engine.report.model import EngineReport
from verify.report.model import Model, Report

HOME = Path(verify.__file__).parent
SHIPPED: dict[type[Model], Path] = {
    Report: HOME / "report/report.schema.json",
    BenchReport: HOME / "bench/report/bench.schema.json",
    Comparison: HOME / "bench/report/compare.schema.json",
    EngineReport: HOME / "engine/report/engine.schema.json",
}


def validate(text: str, kind: type[Model]) -> None:
    """Holds a report's JSON against the schema that ships."""
    jsonschema.validate(json.loads(text), json.loads(SHIPPED[kind].read_text("utf-8")))
