"""The HTML page, in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from tests.verify.report.reports import CRASH, DIFFERENT, SAME, report
from verify.report.html import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


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


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(report(SAME, DIFFERENT)), encoding="utf-8")
    seen = _chromium(page, tmp_path, "--dump-dom")
    assert '<table id="matrix">' in seen
    assert "✗ 1 differ, 1 identical" in seen
    assert seen.count("<rect") == 1 + 16, "a frame, and two columns of eight rows"
    assert "</svg>" in seen


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_light_and_dark_differ(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(report(SAME, DIFFERENT)), encoding="utf-8")
    shots = {}
    for name, scheme in (("light", "1"), ("dark", "0")):
        shot = tmp_path / f"{name}.png"
        prefers = f"--blink-settings=preferredColorScheme={scheme}"
        _chromium(page, tmp_path, prefers, f"--screenshot={shot}")
        shots[name] = shot.read_bytes()
    assert len(shots["light"]) > 5000
    assert shots["light"] != shots["dark"]


def _chromium(page: Path, folder: Path, *options: str) -> str:
    assert CHROMIUM is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *QUIET, profile, *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout
