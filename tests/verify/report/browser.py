"""A page in a real browser, where one is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NARROW = 500  # a headless window is no narrower
MEASURE = """<script>
document.title = document.documentElement.scrollWidth > innerWidth ? "wide" : "fits"
</script>"""

needed = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def _font() -> str:
    found = shutil.which("fc-match")
    return subprocess.getoutput(f"{found} system-ui") if found else ""


of_these_fonts = pytest.mark.skipif(
    "DejaVu" not in _font(),
    reason="the pictures are of DejaVu, the fonts here are others",
)


def chromium(text: str, folder: Path, *options: str) -> str:
    """What the browser prints of a page with this text."""
    assert CHROMIUM is not None
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *QUIET, profile, *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def picture(text: str, folder: Path, width: int, height: int, *, dark: bool) -> bytes:
    """The page's first screen in a window of this size, as PNG."""
    file = folder / "screen.png"
    prefers = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    size = f"--window-size={width},{height}"
    chromium(text, folder, prefers, size, f"--screenshot={file}", "--hide-scrollbars")
    return file.read_bytes()


def fits_a_phone(text: str, folder: Path) -> bool:
    """Whether the page is no wider than a narrow window: what is wide scrolls inside."""
    size = f"--window-size={NARROW},900"
    seen = chromium(text + MEASURE, folder, size, "--dump-dom")
    return "<title>fits</title>" in seen
