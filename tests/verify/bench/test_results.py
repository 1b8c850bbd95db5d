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
    assert run / "README.md" in files
    for report in run.glob("bench/*.json"):
        assert dump_compact(read(report)) == report.read_text(encoding="utf-8")


def test_one_run_has_a_report_of_the_bench() -> None:
    assert [run.name for run in RUNS if (run / "bench/report.json").is_file()]
