"""`bench-nsa-opt compare`: ratios of several runs beside each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.verify.bench.kit import data, measured, original, report
from tests.verify.schemas import validate
from verify.bench.report.compare import Comparison
from verify.bench.report.model import BenchReport, dump_compact
from verify.cli import bench
from verify.report.model import dump


def run(
    us: float, old: float = 1000, device: str = "cuda", of: int = 0, **place: int
) -> BenchReport:
    found = [measured(original(old), data("fan-out", us), **place)]
    return report(found, device=device, of=of)


def file(folder: Path, name: str, found: BenchReport, *, compact: bool = False) -> str:
    path = folder / name
    path.write_text(dump_compact(found) if compact else dump(found))
    return str(path)


def test_a_ratio_that_fell_is_slower_whatever_the_machine_s_own_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = file(tmp_path, "a.json", run(40))
    # Everything takes twice as long there, and fan-out a quarter more than that.
    then = file(tmp_path, "b.json", run(100, old=2000), compact=True)
    line = ["compare", first, then]
    assert bench.main(line) == 0
    out = capsys.readouterr().out
    (row,) = (text for text in out.splitlines() if "fan-out" in text)
    change, verdict = row.split()[-2:]
    assert change.startswith("-20.")
    assert verdict == "SLOWER"
    assert bench.main([*line, "--max-slowdown", "25"]) == 0
    assert bench.main([*line, "--max-slowdown", "10"]) == 1
    assert "slower than allowed: fan-out at decode N=4" in capsys.readouterr().err
    assert bench.main(["compare", then, first, "--max-slowdown", "0"]) == 0
    assert "FASTER" in capsys.readouterr().out


def test_over_three_runs_the_last_is_compared_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [file(tmp_path, f"{us}.json", run(us)) for us in (40, 80, 40)]
    assert bench.main(["compare", *files, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    validate(out, Comparison)
    found = Comparison.model_validate_json(out)
    (row,) = (row for row in found.rows if row.side == "fan-out")
    assert [round(e.value) for e in row.ratios if e] == [25, 12, 25]
    assert (row.verdict, row.time_us) == ("SAME", pytest.approx([40, 80, 40], rel=0.1))
    assert "C x original" in err


def test_what_only_one_run_has_is_counted_and_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        file(tmp_path, "a.json", run(40)),
        file(tmp_path, "b.json", run(40, bs=64)),
    ]
    assert bench.main(["compare", *files]) == 0
    out = capsys.readouterr().out
    assert "note: 4 timings are in one of the reports only" in out
    assert "fan-out" not in out


@pytest.mark.parametrize("compact", [False, True])
def test_a_run_that_was_stopped_is_marked_and_never_passes_a_limit(
    compact: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = file(tmp_path, "a.json", run(40))
    part = file(tmp_path, "b.json", run(40, of=5), compact=compact)
    assert bench.main(["compare", whole, part]) == 0
    out = capsys.readouterr().out
    assert f"note: {part} is incomplete, 1 of 5 points: its run was stopped" in out
    assert "SAME" in out
    assert bench.main(["compare", part, whole, "--max-slowdown", "5"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {part}: is incomplete, 1 of 5 points: ")
    assert "leave out --max-slowdown" in err
    assert bench.main(["compare", whole, whole, "--max-slowdown", "5"]) == 0


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (["good"], 2, "one report alone compares with nothing"),
        (["good", "cpu"], 2, "was timed on a CPU: its times mean nothing"),
        (["good", "text"], 2, "is no report of a bench"),
        (["good", "nothing"], 4, "cannot be read"),
    ],
)
def test_what_says_nothing_of_time_is_refused(
    names: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file(tmp_path, "good", run(40))
    file(tmp_path, "cpu", run(40, device="cpu"))
    (tmp_path / "text").write_text("{}")
    files = [str(tmp_path / name) for name in names]
    assert bench.main(["compare", *files, "--json", "-"]) == code
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert says in err
    assert json.loads(out)["result"] == "Refused"
