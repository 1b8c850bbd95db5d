"""docs/results: small, readable by this version, and what its own tools write."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.bench.report.model import dump_compact, read

RESULTS = Path(__file__).parents[3] / "docs" / "results"
RUNS = sorted(folder for folder in RESULTS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_keeps_a_page_a_few_figures_and_one_compact_report(run: Path) -> None:
    files = [file for file in run.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".md", ".svg", ".json"}
    assert sum(file.stat().st_size for file in files) <= 200_000
    (report,) = (file for file in files if file.suffix == ".json")
    assert dump_compact(read(report)) == report.read_text(encoding="utf-8")
