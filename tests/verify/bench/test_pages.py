"""The page and the plots: complete, self-contained, honest about a CPU."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

from patcher.results import Refusal
from tests.verify.bench.kit import WRONG, data, in_graph, measured, original, report
from verify.bench.__main__ import main
from verify.bench.points import Curve
from verify.bench.report import html as page
from verify.bench.report import write as outputs
from verify.bench.report.figures import FLOOR, Lines, figures
from verify.bench.report.model import BenchReport, dump


def several(device: str = "cuda") -> BenchReport:
    places = [
        measured(original(250 * n), data("fan-out", 30), *in_graph(2), steps=n)
        for n in (1, 4)
    ]
    for i, place in enumerate(places):
        for found in place.data:
            found.facts["bytes_least"] *= 1 + i
    curve = Curve("decode", "steps", tuple(m.job.point for m in places))
    return report(places, [curve], device=device)


def test_the_page_needs_nothing_else_and_its_plots_are_well_formed() -> None:
    text = page.render(several())
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 4
    for svg in drawn:
        minidom.parseString(svg)
    assert "prefers-color-scheme: dark" in text
    assert "mean nothing" not in text


def test_a_cpu_page_says_so_in_red() -> None:
    text = page.render(several("cpu"))
    assert re.search(r'<p class="alarm">This ran on a CPU.*mean nothing', text)


def test_a_wrong_sides_figures_are_not_on_the_page() -> None:
    found = report([measured(original(), data("fan-out", 41.7, digests=WRONG))])
    text = page.render(found)
    row = next(line for line in text.splitlines() if ">fan-out<" in line)
    assert "WRONG" in row
    assert "41" not in row
    assert all(
        bar.name != "fan-out" for f in figures(found) for bar in getattr(f, "bars", ())
    )


def test_the_floor_is_drawn_at_the_copy_rate() -> None:
    (lines,) = (f for f in figures(several()) if f.name == "bytes-decode")
    assert isinstance(lines, Lines)
    floor = next(series for series in lines.series if series.name == FLOOR)
    assert floor.points == ((43e6, pytest.approx(10)), (86e6, pytest.approx(20)))


def test_without_matplotlib_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said: list[str] = []
    outputs.write(several(), tmp_path / "out", tmp_path / "one.json", said.append)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        "report.html",
        "report.json",
    ]
    assert "matplotlib is not installed" in said[0]
    assert (tmp_path / "one.json").exists()


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="cannot be written"):
        outputs.write(several(), tmp_path / "file" / "out", None, print)


def test_plots_are_the_same_files_for_the_same_report(tmp_path: Path) -> None:
    from verify.bench.report import plots

    names = plots.write(several(), tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in names}
    assert "launches-decode.png" in names
    plots.write(several(), tmp_path)
    assert first == {name: (tmp_path / name).read_bytes() for name in names}


def test_a_report_made_elsewhere_is_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text(dump(several()))
    assert main([str(file), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/report.html").read_text() == page.render(several())
    file.write_text("{}")
    assert main([str(file), str(tmp_path / "out")]) == 2
    assert "report.json" in capsys.readouterr().err
