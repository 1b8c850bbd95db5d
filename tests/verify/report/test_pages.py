"""Every page as a person meets it: on a phone, in the dark, with a keyboard."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from tests.verify.bench.kit import data, in_graph, measured, original
from tests.verify.bench.kit import report as bench_report
from tests.verify.engine.reports import report as engine_report
from tests.verify.report.browser import (
    chromium,
    fits_a_phone,
    needed,
    of_these_fonts,
    picture,
)
from tests.verify.report.reports import DIFFERENT, SAME
from tests.verify.report.reports import report as verify_report
from verify.bench.report.html import html as bench_html
from verify.bench.report.plots import draw
from verify.engine.report.html import html as engine_html
from verify.report.html import html as verify_html

HERE = Path(__file__).parent
AXE = Path(os.environ.get("NSA_OPT_AXE", HERE.parents[2] / ".venv/axe.min.js"))
# A page is drawn down to squares of this many pixels: letters blur, what lies where stays.
SQUARE = 10
OFF = 16  # of 255: another font is less
FEW = 0.05  # of all squares may be off


def _bench() -> str:
    places = [
        measured(original(), data("fan-out", 30), *in_graph(2), bs=bs) for bs in (1, 32)
    ]
    return bench_html(bench_report(places), [])


PAGES: dict[str, Callable[[], str]] = {
    "verify": lambda: verify_html(verify_report(SAME, DIFFERENT)),
    "bench": _bench,
    "engine": lambda: engine_html(engine_report()),
}
VIEWS = {"phone": (500, 900, False), "dark": (1200, 900, True)}


def squares(page: str, folder: Path, view: str) -> Image.Image:
    """The first screen of a page, a pixel a square."""
    width, height, dark = VIEWS[view]
    png = picture(page, folder, width, height, dark=dark)
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    return whole.resize((width // SQUARE, height // SQUARE), Image.Resampling.BOX)


def off(one: Image.Image, other: Image.Image) -> float:
    """The share of squares in which two pictures are not alike."""
    assert one.size == other.size
    red, green, blue = ImageChops.difference(one, other).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    return sum(most[OFF + 1 :]) / sum(most)


@needed
@of_these_fonts
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_did(name: str, view: str, tmp_path: Path) -> None:
    """`UPDATE_PICTURES=1` draws the pictures again; look at them before they are kept."""
    kept = HERE / "pictures" / f"{name}-{view}.png"
    seen = squares(PAGES[name](), tmp_path, view)
    if os.environ.get("UPDATE_PICTURES"):
        kept.parent.mkdir(exist_ok=True)
        seen.save(kept, optimize=True)
    assert off(seen, Image.open(kept).convert("RGB")) < FEW


@needed
@of_these_fonts
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<header class="bad">', '<header class="good">'),
        ("<dl>", '<dl style="display: none">'),
        ('<div class="scroll"', '<div class="scroll" hidden'),
        ("prefers-color-scheme: dark", "prefers-color-scheme: none"),
    ],
    ids=["another verdict", "no facts", "no table", "light in the dark"],
)
def test_a_page_that_looks_otherwise_is_seen(
    old: str, new: str, tmp_path: Path
) -> None:
    page = PAGES["verify"]()
    assert old in page
    seen = squares(page.replace(old, new), tmp_path, "dark")
    kept = Image.open(HERE / "pictures/verify-dark.png").convert("RGB")
    assert off(seen, kept) > FEW


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_what_it_is_about(name: str) -> None:
    """The headline, then tree, release and machine; patches and commit if there are any."""
    page = PAGES[name]()
    wanted = ["Tree", "Release", "Patches", "Commit", "Machine"]
    if name == "verify":  # of a source without either
        wanted = ["Tree", "Release", "Machine"]
    assert re.findall(f"<dt>({'|'.join(wanted)})</dt>", page) == wanted
    assert page.index("<h1>") < page.index("<dt>Tree") < page.index("<nav")
    assert page.index("<nav") < page.index("<table")


def test_an_engine_s_page_leads_with_the_one_number() -> None:
    assert (
        "<h1>The same tokens, 1.46x less time a verify step: 4 steps, 1 x 120,000</h1>"
        in PAGES["engine"]()
    )
    assert "<h1>Not the same tokens</h1>" in engine_html(engine_report("different"))


@needed
@pytest.mark.parametrize("name", PAGES)
def test_a_phone_is_wide_enough(name: str, tmp_path: Path) -> None:
    assert fits_a_phone(PAGES[name](), tmp_path)


def asked(page: str, script: str, folder: Path, *options: str) -> object:
    """What a script returns that runs at the end of a page, as JSON."""
    code = f"<script>(async () => {{ {script} }})().then(found => {{"
    code += "document.title = JSON.stringify(found) })</script>"
    wait = "--virtual-time-budget=20000"
    seen = chromium(page + code, folder, "--dump-dom", wait, *options)
    found = re.search(r"<title>(.*?)</title>", seen, re.S)
    assert found is not None
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    answer: object = json.loads(text)
    return answer


KEYBOARD = """
const reached = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
const unnamed = reached.filter(e => !(e.getAttribute("aria-label") || e.innerText).trim());
const stuck = [...document.querySelectorAll(".scroll")].filter(e => e.tabIndex !== 0);
const region = document.querySelector(".scroll");
region.focus();
const ring = [...document.styleSheets[0].cssRules].find(
  rule => rule.selectorText === ".scroll:focus-visible");
return {
  reached: reached.length, unnamed: unnamed.length, stuck: stuck.length,
  focused: document.activeElement === region,
  outline: ring.style.outline.includes("2px solid"),
};
"""


@needed
@pytest.mark.parametrize("name", PAGES)
def test_a_keyboard_reaches_all_that_scrolls_or_opens(
    name: str, tmp_path: Path
) -> None:
    found = asked(PAGES[name](), KEYBOARD, tmp_path)
    assert isinstance(found, dict)
    assert found.pop("reached") >= 4
    assert found == {"unnamed": 0, "stuck": 0, "focused": True, "outline": True}


SHOWN = """
const table = [...document.querySelectorAll(".scroll")].find(
  e => [...e.querySelectorAll("thead th")].some(h => h.innerText.startsWith("x ")));
table.scrollLeft = 0;
const end = table.getBoundingClientRect().right;
const heads = [...table.querySelectorAll("thead th")];
const side = heads.findIndex(h => h.innerText === "side");
table.scrollLeft = 300;
table.scrollTop = 300;
const top = Math.round(heads[0].getBoundingClientRect().top - table.getBoundingClientRect().top);
return {
  cut: heads.filter(h => h.innerText.startsWith("x ")
    && h.getBoundingClientRect().right + table.scrollLeft > end + 1).map(h => h.innerText),
  first: heads[side + 1].innerText,
  sticky: getComputedStyle(heads[0]).position, top,
};
"""


@needed
def test_columns_that_compare_come_first_and_heads_stay(tmp_path: Path) -> None:
    found = asked(PAGES["bench"](), SHOWN, tmp_path, "--window-size=1200,500")
    assert isinstance(found, dict)
    assert found["cut"] == []
    assert found["first"] == "x original"
    assert found["sticky"] == "sticky"
    assert abs(found["top"]) <= 1


CLIPPED = """
const texts = [...document.querySelectorAll("figure svg text")];
const out = texts.filter(text => {
  const frame = text.closest("svg").getBoundingClientRect();
  const box = text.getBoundingClientRect();
  return box.left < frame.left - 1 || box.right > frame.right + 1;
});
return {texts: texts.length, out: out.map(text => text.textContent)};
"""


@needed
def test_no_plot_s_legend_is_clipped(tmp_path: Path) -> None:
    sides = [data(name, 30) for name in ("fan-out", "precomputed", "a-long-name")]
    places = [measured(original(), *sides, *in_graph(2), bs=bs) for bs in (1, 32)]
    for place in places:
        for found in place.samples:
            assert found.facts is not None
            found.facts["bytes_least"] *= place.planned.point.bs
    made = bench_report(places)
    found = asked(bench_html(made, draw(made)), CLIPPED, tmp_path)
    assert isinstance(found, dict)
    assert found["texts"] > 30
    assert found["out"] == []


RUN_AXE = """
const found = await axe.run(document, {resultTypes: ["violations"]});
return found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html).slice(0, 3).join(" | "));
"""


@needed
@pytest.mark.skipif(not AXE.exists(), reason="ci/axe has not fetched axe-core")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, dark: bool, tmp_path: Path) -> None:
    axe = f"<script>{AXE.read_text('utf-8')}</script>"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    page = PAGES[name]()
    assert asked(page + axe, RUN_AXE, tmp_path, scheme) == []
    if name == "verify":
        wrong = '<img src="data:,"><p style="color: #888; background: #777">dim</p>'
        found = asked(page + wrong + axe, RUN_AXE, tmp_path, scheme)
        assert isinstance(found, list)
        kinds = {line.partition(":")[0] for line in found}
        assert kinds >= {"image-alt", "color-contrast"}
