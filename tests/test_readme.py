"""What the front page and its tables say is what the tools say."""

from __future__ import annotations

import re
from pathlib import Path

from patcher.cli.table import markdown
from patches import all_patches

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FITS = (ROOT / "docs/fits.md").read_text("utf-8")
PATCHES = (ROOT / "docs/patches.md").read_text("utf-8")


def test_the_table_of_releases_is_the_tools_own() -> None:
    assert markdown(all_patches()).strip() in FITS


def test_every_patch_is_listed_with_its_gate_and_its_page() -> None:
    for patch in all_patches():
        folder = f"patches/{patch.name.replace('-', '_')}/README.md"
        row = next(line for line in PATCHES.splitlines() if folder in line)
        assert f"`{patch.name}`" in row
        assert f"`{patch.about.gate}`" in row
        assert row.endswith(f"| {'yes' if patch.about.default else 'no'} |")


def test_the_front_page_is_one_page() -> None:
    assert len(README.splitlines()) <= 120
    assert len(re.findall(r"!\[", README)) == 1


def test_its_picture_reads_in_the_dark() -> None:
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    drawn = (ROOT / picture).read_text("utf-8")
    assert "prefers-color-scheme:dark" in drawn
    assert "currentColor" in drawn
    assert not re.search(r"fill: (#ffffff|white)", drawn)


def test_every_message_that_it_explains_is_one_of_the_tools() -> None:
    section = README.split("\n## When something is refused\n")[1].split("\n## ")[0]
    quoted = [
        message
        for row in re.findall(r"^\| (`.*?) \|", section, re.M)
        for message in re.findall(r"`([^`]+)`", row)
    ]
    assert len(quoted) >= 8
    said = "".join(
        page.read_text("utf-8")
        for page in (ROOT / "tests/patcher/cli/messages").glob("*.txt")
    )
    for package in ("verify", "patches/shared/payload"):
        said += "".join(p.read_text("utf-8") for p in (ROOT / package).rglob("*.py"))
    assert not [message for message in quoted if message not in said]


def logged() -> set[str]:
    """The fixed beginnings of what payloads log at level info."""
    text = "".join(p.read_text("utf-8") for p in ROOT.glob("patches/*/payload/*.py"))
    return set(re.findall(r'\.info\(\s*f?"([^"{]+)', text))


def test_its_log_line_and_its_variable_are_real() -> None:
    section = README.split("\n## Is it active?\n")[1].split("\n## ")[0]
    (line,) = re.findall(r"^    (.+)$", section, re.M)
    assert any(line.startswith(begin) for begin in logged()), logged()
    gates = {patch.about.gate for patch in all_patches()}
    assert set(re.findall(r"(SGLANG_\w+)=0", README)) <= gates


def test_log_lines_are_the_same_wherever_they_are_explained() -> None:
    fleet = (ROOT / "docs/fleet.md").read_text("utf-8")
    for page in (README, PATCHES, fleet):
        assert any(begin.rstrip(" ,") in page for begin in logged()), logged()


def test_a_clone_is_a_verified_tree_in_three_minutes_of_reading_and_typing() -> None:
    """238 words a minute are read and 200 letters typed, by usual adults."""
    page = (ROOT / "docs/start.md").read_text("utf-8")
    typed = "".join(
        line
        for block in re.findall(r"((?:^    .*\n)+)", page, re.M)
        for line in block.splitlines()
        if re.match(r"    (git|ci/|python3|apply|verify|rollback)", line)
    )
    assert len(typed.split()) > 20
    words = len(re.sub(r"[|`#*]|^    .*$", " ", page, flags=re.M).split())
    assert words / 238 + len(typed.replace("    ", "")) / 200 < 3
