"""JUnit XML: a suite a mode, a case a route and failing scenario."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from verify.report.model import Cell, Failure, Report

_CONTROL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """One test case for what a route passed in a mode, and one for each failure."""
    root = ElementTree.Element("testsuites", name="verify-nsa-opt")
    for mode in dict.fromkeys(cell.mode for cell in report.matrix):
        cells = [cell for cell in report.matrix if cell.mode == mode]
        failures = [f for f in report.failures if f.mode == mode]
        suite = ElementTree.SubElement(root, "testsuite", name=mode)
        for cell in cells:
            _passed(suite, cell)
        for failure in failures:
            _failed(suite, failure)
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall(".//failure"))))
        suite.set("errors", str(len(suite.findall(".//error"))))
        suite.set("skipped", str(len(suite.findall(".//skipped"))))
        suite.set("time", f"{sum(cell.seconds for cell in cells):.2f}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _passed(suite: ElementTree.Element, cell: Cell) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=cell.mode, name=cell.route
    )
    case.set("time", f"{cell.seconds:.2f}")
    out = f"{cell.identical} cases identical, {cell.replays} replays"
    if not cell.identical and not cell.different and not cell.broken:
        message = "; ".join(cell.reasons) or "nothing ran"
        ElementTree.SubElement(case, "skipped", message=_clean(message))
    ElementTree.SubElement(case, "system-out").text = out


def _failed(suite: ElementTree.Element, failure: Failure) -> None:
    name = f"{failure.route} {failure.scenario}"
    case = ElementTree.SubElement(
        suite, "testcase", classname=failure.mode, name=_clean(name)
    )
    kind = "failure" if failure.kind == "different" else "error"
    child = ElementTree.SubElement(
        case, kind, message=_clean(failure.line), type=failure.kind
    )
    lines = [failure.line, *failure.detail, f"reproduce: {failure.reproduce}"]
    child.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _CONTROL.sub("?", text)
