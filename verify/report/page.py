"""The HTML pages: one style sheet, one engine; each page is one file that needs no other."""

from __future__ import annotations

import re
from typing import Any

import jinja2
from markupsafe import Markup

_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>')


def render(template: str, **values: Any) -> str:
    """The page of a template in `pages/`, which extends `base.html`; all text escaped.

    base.html asks for `report` (summary, command), `headline`, `tone` (good, warn or
    bad) and `facts`: (name, text) pairs, those without text left out.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("verify.report", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["headings"] = _headings
    return environment.get_template(template).render(**values)


def _headings(details: Markup) -> list[tuple[str, Markup]]:
    """(id, title) of a page's sections, for its index."""
    return [(id, Markup(title)) for id, title in _HEADING.findall(details)]
