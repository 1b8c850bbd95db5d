"""Links between the pages lead somewhere; nothing is fetched."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "patches", "changelog.d", ".github")
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (
        *ROOT.glob("*.md"),
        *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
    )
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|^(?: {4}|\t).*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Targets of the links and images of a page; code is no link."""
    return _LINK.findall(_CODE.sub("", text))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What GitHub makes of a page's headings; the second of a name gets `-1`."""
    found: list[str] = []
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        again = found.count(words)
        found.append(words)
        if again:
            found.append(f"{words}-{again}")
    return frozenset(found)


def problem(page: Path, link: str) -> str:
    """What is wrong with a link of a page; empty if it resolves or leaves the project."""
    if re.match(r"[a-z]+:", link):
        return ""
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return f"{link}: no such file"
    if ROOT not in (target.resolve(), *target.resolve().parents):
        return f"{link}: outside of the project"
    if anchor and anchor not in anchors(target):
        return f"{link}: no such heading"
    return ""


@pytest.mark.parametrize("name", PAGES)
def test_every_link_resolves(name: str) -> None:
    page = ROOT / name
    found = [problem(page, link) for link in links(page.read_text("utf-8"))]
    assert not [what for what in found if what]


def test_pages_are_found_and_have_links() -> None:
    assert {"README.md", "docs/seeds.md", "docs/decisions/README.md"} <= set(PAGES)
    assert len(links((ROOT / "docs/decisions/README.md").read_text("utf-8"))) >= 7


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("other.md", ""),
        ("other.md#a-heading-with-code", ""),
        ("other.md#twice-1", ""),
        ("#here", ""),
        ("https://example.org/nothing", ""),
        ("nothing.md", "nothing.md: no such file"),
        ("other.md#nothing", "other.md#nothing: no such heading"),
        ("#nothing", "#nothing: no such heading"),
        ("/", "/: outside of the project"),
    ],
)
def test_what_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str, what: str
) -> None:
    monkeypatch.setattr("tests.test_docs.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# Here\n")
    (tmp_path / "other.md").write_text(
        "# A heading, with `code`\n## Twice\n## Twice\n```\n# nothing\n```\n"
    )
    assert problem(page, link) == what


def test_code_is_no_link() -> None:
    text = (
        "[a](b.md) `[c](d.md)`\n\n    [e](f.md)\n\n```\n[g](h.md)\n```\n![i](j.svg)\n"
    )
    assert links(text) == ["b.md", "j.svg"]


def test_every_document_that_is_cited_has_a_section() -> None:
    sections = anchors(ROOT / "docs/seeds.md")
    cited = {
        number
        for file in (ROOT / "patches").rglob("*")
        if file.suffix in (".md", ".py")
        for number in re.findall(r"documents? (\d{3})", file.read_text("utf-8"))
    }
    assert cited
    for number in cited:
        assert any(section.startswith(number) for section in sections), number
