"""The page and the plots: complete, self-contained, honest about a CPU."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

from patcher.results import Refusal
from tests.verify.bench.kit import WRONG, data, in_graph, measured, original, report
from tests.verify.report.browser import fits_a_phone, needed
from verify.bench.__main__ import main
from verify.bench.points import Curve
from verify.bench.report.figures import FLOOR, figures
from verify.bench.report.html import html
from verify.bench.report.model import BenchReport, dump_compact, read
from verify.bench.report.plots import draw
from verify.bench.report.write import write
from verify.report.model import dump


def several(device: str = "cuda") -> BenchReport:
    places = [
        measured(original(250 * n), data("fan-out", 30), *in_graph(2), steps=n)
        for n in (1, 4)
    ]
    for i, place in enumerate(places):
        for found in place.samples:
            assert found.facts is not None
            found.facts["bytes_least"] *= 1 + i
    curve = Curve("decode", "steps", tuple(m.planned.point for m in places))
    return report(places, [curve], device=device)


def page(found: BenchReport) -> str:
    return html(found, draw(found))


def heading(text: str) -> tuple[str, str]:
    found = re.search(r'<header class="(\w+)"><h1>(.*?)</h1>', text)
    assert found is not None
    return found[1], found[2]


def test_the_page_needs_nothing_else_and_its_plots_are_well_formed() -> None:
    text = page(several())
    assert not re.search(r'src=|href="[^#]|url\([^#]|@import|<script', text)
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 4
    for svg in drawn:
        minidom.parseString(svg)
    assert "prefers-color-scheme: dark" in text
    assert "mean nothing" not in text


def test_the_page_leads_with_the_best_route_and_what_was_measured() -> None:
    text = page(several())
    tone, headline = heading(text)
    assert tone == "good"
    assert re.fullmatch(
        r"9\d\.?\d?x less time a replay call: in-graph, decode N=4 bs 32 len 16k",
        headline,
    )
    for fact in ("tree of fan-out", "0.5.6.post2", "fan-out 1, in-graph 1", "c0ffee"):
        assert f"<dd>{fact}</dd>" in text
    assert text.index("<figure>") < text.index("<table")
    assert set(re.findall(r'href="#(\w+)"', text)) >= {"plots", "decode", "sides"}


@needed
def test_a_phone_shows_the_plots_too(tmp_path: Path) -> None:
    assert fits_a_phone(page(several()), tmp_path)


def test_a_point_has_one_time_in_tables_plots_and_report() -> None:
    found = several()
    timing = next(t for t in found.points[1].timings if t.side == "in-graph")
    assert timing.added_us is not None
    assert timing.rounds is not None
    assert timing.time_us == pytest.approx(10, rel=0.02)
    bars = next(f for f in figures(found) if f.name == "cost-decode")
    (shown,) = (s.points[0][1] for s in bars.series if s.name == "in-graph")
    assert shown == timing.time_us


def test_a_cpu_page_is_amber_and_compares_no_times() -> None:
    text = page(several("cpu"))
    assert heading(text) == ("warn", "Timed on a CPU: no time here counts")
    assert re.search(r"<li>This ran on a CPU.*mean nothing", text)
    assert "x original" not in text
    assert re.search(r'<td class="EQUAL" title="[^"]+">EQUAL</td>', text)
    assert "UNSURE" not in re.sub(r"(?s)<style>.*?</style>", "", text)


def test_a_wrong_sides_figures_are_not_on_the_page() -> None:
    found = report([measured(original(), data("fan-out", 41.7, digests=WRONG))])
    text = page(found)
    assert heading(text)[0] == "bad"
    row = next(line for line in text.splitlines() if ">fan-out<" in line)
    assert "WRONG" in row
    assert "41" not in row
    assert all(s.name != "fan-out" for f in figures(found) for s in f.series)


def test_text_on_the_page_is_escaped() -> None:
    found = several().model_copy(update={"command": "bench <script>", "notes": ["<b>"]})
    text = page(found)
    assert "bench &lt;script&gt;" in text
    assert "<li>&lt;b&gt;</li>" in text


def test_the_floor_is_drawn_at_the_copy_rate() -> None:
    (lines,) = (f for f in figures(several()) if f.name == "bytes-decode")
    floor = next(series for series in lines.series if series.name == FLOOR)
    assert floor.points == ((43e6, pytest.approx(10)), (86e6, pytest.approx(20)))


def test_without_matplotlib_the_page_has_tables_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said: list[str] = []
    write(several(), tmp_path / "out", tmp_path / "one.json", said.append)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        "report.html",
        "report.json",
    ]
    assert "matplotlib is not installed" in said[-1]
    text = (tmp_path / "out/report.html").read_text()
    assert "matplotlib is not installed" in text
    assert "<table" in text
    assert (tmp_path / "one.json").exists()


def test_a_job_on_github_gets_the_headline_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    write(several(), None, None, print)
    text = page.read_text()
    assert re.match(r"### 9\d\.?\d?x less time a replay call: in-graph", text)
    assert "\n| N | bs | len | side | x original |" in text
    assert re.search(r"\| in-graph \| 9\d\S* \[.*\| FASTER \|", text)


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="cannot be written"):
        write(several(), tmp_path / "file" / "out", None, print)


def test_plots_are_the_same_for_the_same_report_and_follow_the_reader() -> None:
    drawn = draw(several())
    assert "launches-decode" in [plot.name for plot in drawn]
    assert drawn == draw(several())
    for plot in drawn:
        assert plot.png.startswith(b"\x89PNG")
        assert "fill: currentColor" in plot.svg
        assert "prefers-color-scheme:dark" in plot.svg
        assert not re.search(r"fill: (#ffffff|white)", plot.svg)


def test_nothing_of_a_plot_lies_outside_its_frame() -> None:
    """As matplotlib measures text; the legend beside the axes is the risk."""
    for plot in draw(several()):
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', plot.svg)[1])  # type: ignore[index]
        texts = re.findall(r'<text style="(.*?)" x="(.*?)".*?>(.*?)</text>', plot.svg)
        assert texts
        for style, x, text in texts:
            size = float(re.search(r"size: ([\d.]+)px", style)[1])  # type: ignore[index]
            if "anchor" not in style:  # DejaVu Sans: half an em a letter at least
                assert float(x) + 0.5 * size * len(text) < width


def test_a_report_made_elsewhere_is_drawn_again_from_either_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = several()
    file = tmp_path / "report.json"
    file.write_text(dump(found))
    assert main([str(file), str(tmp_path / "full")]) == 0
    assert (tmp_path / "full/report.html").read_text() == page(found)
    assert main([str(tmp_path / "full/report.json"), str(tmp_path / "again")]) == 0
    compact, again = tmp_path / "full/report.json", tmp_path / "again/report.json"
    assert compact.read_bytes() == again.read_bytes()
    assert (tmp_path / "again/launches-decode.svg").exists()
    file.write_text("{}")
    assert main([str(file), str(tmp_path / "out")]) == 2
    assert "report.json" in capsys.readouterr().err


def test_the_compact_form_has_medians_intervals_and_counts_but_no_rounds(
    tmp_path: Path,
) -> None:
    found = several()
    file = tmp_path / "report.json"
    file.write_text(dump_compact(found))
    timing = next(t for t in read(file).points[1].timings if t.side == "fan-out")
    full = next(t for t in found.points[1].timings if t.side == "fan-out")
    assert timing.time_us == pytest.approx(full.time_us, rel=1e-3)
    assert timing.ratios[0].low == pytest.approx(full.ratios[0].low, rel=1e-3)
    assert (timing.launches, timing.rounds, timing.kernels) == (1, None, ())
    assert full.rounds is not None
    assert len(file.read_text()) < len(dump(found)) / 3
    assert all(len(line) < 3000 for line in file.read_text().splitlines()[1:])
    assert json.loads(file.read_text())["points"][0]["rounds"] == 10
