"""What a report says of planted sides: speedups, losses, wrong and failed ones."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.verify.bench.kit import WRONG, data, in_graph, measured, original, report
from tests.verify.schemas import validate
from verify.bench.points import Curve
from verify.bench.report import console
from verify.bench.report.html import headline, html
from verify.bench.report.model import (
    BenchReport,
    Timing,
    read,
)
from verify.bench.report.write import step_summary
from verify.report.model import Incomplete, dump


def result(found: BenchReport, side: str, point: int = 0) -> Timing:
    return next(r for r in found.points[point].timings if r.side == side)


def shown(found: BenchReport) -> str:
    out = io.StringIO()
    console.render(found, Console(file=out, width=200))
    return out.getvalue()


def test_a_route_is_compared_to_the_original_and_to_releases() -> None:
    found = report(
        [measured(original(), data("fan-out", 40), data("0.5.7", 500, "release"))]
    )
    ratios = {r.to: r for r in result(found, "fan-out").ratios}
    assert ratios["original"].value == pytest.approx(25, rel=0.05)
    assert ratios["0.5.7"].value == pytest.approx(12.5, rel=0.05)
    assert ratios["original"].verdict == "FASTER"
    assert [r.to for r in result(found, "0.5.7").ratios] == ["original"]
    assert found.exit_code == 0


def test_a_loss_stays_in_the_table() -> None:
    found = report([measured(original(), data("precomputed", 1500))])
    assert result(found, "precomputed").ratios[0].verdict == "SLOWER"
    assert found.exit_code == 0
    row = next(line for line in shown(found).splitlines() if "precomputed" in line)
    assert "SLOWER" in row
    assert "0.67" in row


def test_a_side_whose_output_differs_has_no_figures() -> None:
    found = report([measured(original(), data("fan-out", 40, digests=WRONG))])
    wrong = result(found, "fan-out")
    assert (wrong.status, wrong.ratios[0].verdict) == ("wrong", "WRONG")
    assert found.exit_code == 1
    text = shown(found)
    row = next(line for line in text.splitlines() if "fan-out" in line)
    assert "WRONG" in row
    assert "40" not in row
    assert "backend 0: page_table differ from the original's" in text


def test_a_wrong_release_is_no_reference() -> None:
    found = report(
        [
            measured(
                original(),
                data("fan-out", 40),
                data("0.5.7", 500, "release", digests=WRONG),
            )
        ]
    )
    assert [r.to for r in result(found, "fan-out").ratios] == ["original"]


def test_a_route_that_fell_back_is_wrong() -> None:
    found = report([measured(original(), data("fan-out", 40, kernels=("*fan_out*",)))])
    assert "launched no kernel *fan_out*" in result(found, "fan-out").reason
    assert found.exit_code == 1


def test_in_graph_is_charged_what_it_adds_to_its_graph() -> None:
    found = report([measured(original(), *in_graph(added=2))])
    route = result(found, "in-graph")
    assert route.added_us is not None
    assert route.added_us.value == pytest.approx(2)
    assert route.time_us == pytest.approx(10, rel=0.02)
    assert route.launches == 0
    assert route.floor_us == pytest.approx(10)
    assert route.over_floor == pytest.approx(0.2)
    assert route.ratios[0].value == pytest.approx(100, rel=0.05)
    assert [r.side for r in found.points[0].timings] == ["original", "in-graph"]


def test_what_a_route_adds_to_its_graph_is_told_from_what_was_there() -> None:
    route, twin = in_graph(added=2)
    assert route.profile is not None
    assert twin.profile is not None
    copies, sleep = {"launches": 2.0, "us": 3.0}, {"launches": 1.0, "us": 20.0}
    twin.profile["graph_kernels"] = {"copy": dict(copies), "sleep": dict(sleep)}
    route.profile["graph_kernels"] = {
        "copy": {"launches": 4.0, "us": 7.0}, "sleep": {"launches": 1.0, "us": 20.5},
        "fill": {"launches": 1.0, "us": 5.0},
    }  # fmt: skip
    found = result(report([measured(original(), route, twin)]), "in-graph")
    assert found.graph_launches == 3
    added = [(k.name, k.launches, k.us) for k in found.graph_kernels]
    assert added == [("fill", 1, 5), ("copy", 2, 4)]
    twin.profile = None
    found = result(report([measured(original(), route, twin)]), "in-graph")
    assert (found.graph_launches, found.graph_kernels) == (None, ())


def test_in_graph_that_launches_outside_its_graph_is_wrong() -> None:
    route, twin = in_graph(added=2)
    assert route.profile is not None
    route.profile["launches"] = 3.0
    found = report([measured(original(), route, twin)])
    assert "outside the graph" in result(found, "in-graph").reason


def test_a_side_that_died_ends_in_4() -> None:
    dead = data("fan-out", 40)
    dead.problem = "failed", "the worker was killed"
    found = report([measured(original(), dead)])
    assert found.exit_code == 4
    assert "failed: fan-out" in shown(found)


def test_a_path_that_a_tree_lacks_is_no_failure() -> None:
    absent = data("0.5.9", 40, "release")
    absent.problem = "not applicable", "1 steps make no step backend here"
    found = report([measured(original(), absent)])
    assert found.exit_code == 0


@pytest.mark.parametrize(("asked", "code"), [(15, 0), (24.4, 1), (40, 1)])
def test_min_speedup_looks_at_the_lower_end(asked: float, code: int) -> None:
    found = report(
        [measured(original(noise=0.2), data("fan-out", 40, noise=0.2))],
        min_speedup=asked,
    )
    assert found.exit_code == code
    assert found.min_speedup is not None
    assert bool(found.min_speedup.below) == bool(code)


def test_min_speedup_is_not_reached_where_nothing_was_compared() -> None:
    found = report([measured(original())], min_speedup=0.5)
    assert found.exit_code == 1


def test_crossovers_are_found_along_a_curve() -> None:
    places = [
        measured(original(250 * n), data("precomputed", 400 + 50 * n), steps=n)
        for n in (1, 2, 3, 4)
    ]
    curve = Curve("decode", "steps", tuple(m.planned.point for m in places))
    (crossing,) = report(places, [curve]).curves[0].crossovers
    assert (crossing.side, crossing.what) == ("precomputed", "costs less from here on")
    assert crossing.at is not None
    assert 1.5 < crossing.at < 2.5


def test_a_report_matches_the_shipped_schema(tmp_path: Path) -> None:
    found = report([measured(original(), *in_graph(2))], min_speedup=2)
    file = tmp_path / "report.json"
    file.write_text(dump(found))
    validate(file.read_text(), BenchReport)
    assert read(file) == found


def test_in_graph_without_its_twin_is_not_judged() -> None:
    route, twin = in_graph(added=2)
    twin.problem = "failed", "the worker was killed"
    found = report([measured(original(), route, twin)])
    assert result(found, "in-graph").status == "failed"
    assert found.exit_code == 4


def test_graphs_that_the_host_could_not_launch_in_time_are_not_judged() -> None:
    route, twin = in_graph(added=2)
    route.launch = [26.0] * 20
    found = report([measured(original(), route, twin)])
    assert "too slowly" in result(found, "in-graph").reason


def test_a_run_that_was_stopped_has_the_points_that_were_timed() -> None:
    points = [measured(original(), data("fan-out", 40), bs=bs) for bs in (8, 16, 32)]
    uncounted = points[-1].samples[1]
    uncounted.profile = None
    # Nothing is fast enough, and that is said of a whole run only.
    found = report(points, of=5, min_speedup=9999)
    assert found.summary.startswith(
        "incomplete, 3 of 5 points in 12 s, routes against the original: 3 FASTER"
    )
    assert (found.exit_code, found.min_speedup) == (130, None)
    assert found.incomplete == Incomplete(done=3, of=5)
    validate(dump(found), BenchReport)
    first, second, *_ = found.notes
    assert first.startswith("stopped before 1 of 3 points were counted: ")
    assert second == "--min-speedup 9999: not judged, the run was stopped"
    lines = shown(found).splitlines()
    assert lines[-1] == found.summary
    rows = [line.split() for line in lines if " fan-out " in line]
    # Host and time are there; GPU time, launches, syncs are not.
    assert [row.count("-") for row in rows] == [rows[0].count("-")] * 2 + [
        rows[0].count("-") + 4
    ]
    launches = [t.launches for p in found.points for t in p.timings]
    assert launches == [68, 1, 68, 1, 68, None]
    assert headline(found) == ("Stopped: 3 of 5 points were timed", "warn")
    assert "Stopped: 3 of 5 points were timed" in step_summary(found)
    assert "<h1>Stopped: 3 of 5 points" in html(found, [])


def test_what_was_found_before_a_stop_is_shown() -> None:
    wrong = data("fan-out", 40, digests=WRONG)
    found = report([measured(original(), wrong)], of=2)
    assert found.exit_code == 130
    assert "1 WRONG" in found.summary
    assert headline(found)[1] == "bad"
    assert "wrong: fan-out at decode" in shown(found)
    # All of it timed, and counted: nothing is left but what follows.
    assert not report([measured(original())], of=1).notes


def test_a_curve_of_a_run_that_was_stopped_has_the_points_that_there_are() -> None:
    points = [measured(original(), data("fan-out", 40), bs=bs) for bs in (8, 16)]
    along = [m.planned.point for m in points] + [
        replace(points[0].planned.point, bs=32)
    ]
    found = report(points, [Curve("decode", "bs", tuple(along))], of=3)
    (curve,) = found.curves
    assert curve.points == [point.name for point in found.points]
