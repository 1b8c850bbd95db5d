"""The site's hook for mkdocs: pages from outside of docs/, and the links between all pages.

README.md is the site's start; a patch's README.md its page. A link to a file that is no
page of the site, such as a script, becomes its text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PATCHES = {
    f"patches/{page.parent.name}/README.md": f"patches/{page.parent.name}.md"
    for page in sorted(ROOT.glob("patches/*/README.md"))
}
OUTSIDE = {
    "README.md": "index.md",
    **{
        f"{name}.md": f"{name.lower()}.md"
        for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG")
    },
    **PATCHES,
}
"""The place in the site of each page that lies elsewhere in the project."""
_FOLDERS = {
    "Results": "results",
    "Reports for upstream": "upstream",
    "Decisions": "decisions",
}
_CODE_OR_LINK = re.compile(
    r"(```.*?```|`[^`\n]*`)|(!?)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)", re.S
)


def on_config(config: Any) -> Any:
    """Fills the parts of the navigation that are folders, each with its README.md first.

    A page that mkdocs.yml does not name stands at the end.
    """
    for section in config["nav"]:
        for title, pages in section.items():
            for entry in pages if isinstance(pages, list) else ():
                for name, found in list(entry.items()):
                    if found == []:
                        entry[name] = _pages_of(_FOLDERS[name])
            if title == "Patches":
                pages += PATCHES.values()
    named = set(re.findall(r"[\w/-]+\.md", repr(config["nav"])))
    docs = sorted(page.name for page in (ROOT / "docs").glob("*.md"))
    config["nav"].append({"More": [page for page in docs if page not in named]})
    config["nav"] = [section for section in config["nav"] if section != {"More": []}]
    return config


def _pages_of(folder: str) -> list[str]:
    """The Markdown pages below a folder of docs/, its own README.md first."""
    docs = ROOT / "docs"
    found = [
        page.relative_to(docs).as_posix() for page in (docs / folder).rglob("*.md")
    ]
    return sorted(found, key=lambda page: (page != f"{folder}/README.md", page))


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages from outside of docs/."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turns links that are right in the project into links that are right in the site."""
    here = page.file.src_uri
    source = next((s for s, p in OUTSIDE.items() if p == here), f"docs/{here}")

    def turned(found: re.Match[str]) -> str:
        code, image, label, link = found.groups()
        if code is not None or re.match(r"[a-z]+:|#", link):
            return found[0]
        path, mark, anchor = link.partition("#")
        target = _in_site(os.path.normpath(os.path.join(os.path.dirname(source), path)))
        if target is None:
            return str(label)
        return f"{image}[{label}]({os.path.relpath(target, os.path.dirname(here))}{mark}{anchor})"

    return _CODE_OR_LINK.sub(turned, markdown)


def _in_site(path: str) -> str | None:
    """Where a path of the project is in the site; None if it is not there."""
    if (ROOT / path / "README.md").is_file():
        path += "/README.md"
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None
