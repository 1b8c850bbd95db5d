"""The HTML page, in a real browser where there is one."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import pytest

from tests.verify.report.browser import chromium, fits_a_phone, needed
from tests.verify.report.reports import CRASH, DIFFERENT, SAME, report
from verify.report import page
from verify.report.html import html

PAGES = Path(page.__file__).parent / "pages"


def test_nothing_is_fetched() -> None:
    page = html(report(SAME, DIFFERENT))
    assert not re.search(r"""src\s*=|href="[^#]|url\(|@import|<script""", page)


def test_text_is_escaped() -> None:
    page = html(report(CRASH))
    assert escape("<&> last words") in page
    assert "<&>" not in page


def test_it_says_what_was_not_run_and_which_files_were() -> None:
    page = html(report(SAME))
    assert "CUDA graph capture and replay" in page
    assert "a.py" in page
    assert "0" * 16 in page
    assert "prefers-color-scheme: dark" in page


def test_the_verdict_leads_and_is_amber_where_only_a_cpu_gave_it() -> None:
    found = report(SAME)
    assert '<header class="warn"><h1>Identical on a CPU: the logic' in html(found)
    gpu = found.device.model_copy(update={"kind": "cuda", "logic_only": False})
    on_gpu = html(found.model_copy(update={"device": gpu}))
    assert '<header class="good"><h1>Identical</h1>' in on_gpu
    assert '<header class="bad"><h1>Not identical</h1>' in html(report(DIFFERENT))
    assert '<header class="bad"><h1>Not verified</h1>' in html(report())
    for outcome, tone in ((SAME, "warn"), (DIFFERENT, "bad")):
        page = html(report(outcome, stopped=True))
        assert f'<header class="{tone}"><h1>Stopped: no verdict</h1>' in page


def test_the_index_names_every_section() -> None:
    page = html(report(SAME, DIFFERENT))
    assert re.findall(r'href="#([\w-]+)"', page) == re.findall(
        r'<h2 id="([\w-]+)"', page
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    """WCAG AA: a contrast of 4.5 to 1 at least."""
    light, dark = re.findall(
        r":root \{(.*?)\}", PAGES.joinpath("style.css").read_text(), re.S
    )
    colours = dict(
        re.findall(r"--([\w-]+): (#\w+)", dark if scheme == "dark" else light)
    )
    pairs = [(name, f"{name}-card") for name in ("good", "bad", "warn")]
    pairs += [(name, back) for name in ("ink", "dim") for back in ("page", "card")]
    pairs += [("ink", f"{name}-card") for name in ("good", "bad", "warn")]
    assert all(contrast(colours[a], colours[b]) >= 4.5 for a, b in pairs)


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@needed
def test_in_a_browser(tmp_path: Path) -> None:
    seen = chromium(html(report(SAME, DIFFERENT)), tmp_path, "--dump-dom")
    assert '<table id="matrix">' in seen
    assert "✗ 1 differ, 1 identical" in seen
    assert seen.count("<rect") == 1 + 16, "a frame, and two columns of eight rows"
    assert "</svg>" in seen


@needed
def test_what_is_too_wide_for_a_phone_is_seen(tmp_path: Path) -> None:
    text = html(report(SAME, DIFFERENT))
    assert not fits_a_phone(text + f'<div style="width: {9**4}px">-</div>', tmp_path)
