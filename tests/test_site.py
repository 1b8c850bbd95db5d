"""The site of the docs: it builds without a warning, and nothing on it is fetched."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed"
)


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*map(str, line), *options], cwd=ROOT, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_project_is_there(site: Path) -> None:
    wanted = {"index", "commands", "patches", "fits", "verify", "fleet", "contributing"}
    wanted |= {"results/index", "decisions/index", "seeds", "states", "upstream/index"}
    wanted |= {f"patches/{p.parent.name}" for p in ROOT.glob("patches/*/README.md")}
    assert not {page for page in wanted if not (site / f"{page}.html").is_file()}


def test_nothing_is_fetched_when_it_is_read(site: Path) -> None:
    for file in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = file.read_text("utf-8")
        found = re.findall(r'<(?:link|script|img|iframe)[^>]*="(?:https?:)?//', text)
        found += re.findall(r"""(?:url\(|@import )["']?(?:https?:)?//""", text)
        assert not found, file


def test_links_out_of_docs_lead_to_pages_or_are_text(site: Path) -> None:
    text = (site / "fits.html").read_text("utf-8")
    assert 'href="contributing.html#add-a-release"' in text
    assert 'href="patches/in_graph.html"' in (site / "patches.html").read_text("utf-8")
    demo = (site / "demo.html").read_text("utf-8")
    assert "<code>ci/demo</code> checks out a release" in demo
    start = (site / "index.html").read_text("utf-8")
    assert 'src="results/2026-11-20-nvidia-h200/bench/launches-decode.svg"' in start


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Here\n\n[there](nothing.md) [part](#nothing)\n")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    head, _, rest = settings.partition("hooks: ")
    checks = "validation:" + rest.partition("validation:")[2].partition("nav:")[0]
    file = tmp_path / "mkdocs.yml"
    file.write_text(head + "theme: {name: material, font: false}\n" + checks)
    done = build(tmp_path / "site", "--config-file", str(file))
    assert done.returncode == 1
    assert "nothing.md" in done.stderr
    assert "#nothing" in done.stderr
