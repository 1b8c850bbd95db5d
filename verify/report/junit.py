"""JUnit XML: a suite a mode, a case a route; its name stays, whatever fails in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from patcher.results import Refusal
from verify.report.model import Cell, Failure, Report

_CONTROL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """One test case for each route in each mode; it fails with all that was found."""
    root = ElementTree.Element("testsuites", name="verify-nsa-opt")
    for mode in dict.fromkeys(cell.mode for cell in report.matrix):
        cells = [cell for cell in report.matrix if cell.mode == mode]
        suite = ElementTree.SubElement(root, "testsuite", name=mode)
        for cell in cells:
            place = f"{cell.mode}/{cell.route}"
            _case(suite, cell, [f for f in report.failures if place in f.places])
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall(".//failure"))))
        suite.set("errors", str(len(suite.findall(".//error"))))
        suite.set("skipped", str(len(suite.findall(".//skipped"))))
        suite.set("time", f"{sum(cell.seconds for cell in cells):.2f}")
    return _written(root)


def refused(refusal: Refusal) -> str:
    """One test case that is in error: nothing could be verified, for these reasons."""
    lines = [
        ": ".join(filter(None, (reason.file, reason.symbol, reason.what, reason.hint)))
        for reason in refusal.reasons
    ]
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    root = ElementTree.Element("testsuites", name="verify-nsa-opt")
    suite = ElementTree.SubElement(root, "testsuite", name="refused", attrib=counts)
    case = ElementTree.SubElement(suite, "testcase", classname="refused", name="verify")
    first = _clean(refusal.reasons[0].what)
    error = ElementTree.SubElement(case, "error", message=first, type=refusal.code.name)
    error.text = _clean("\n".join(lines))
    return _written(root)


def _written(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, cell: Cell, failures: list[Failure]) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=cell.mode, name=cell.route
    )
    case.set("time", f"{cell.seconds:.2f}")
    if failures:
        first = failures[0]
        on_baseline = all(failure.side == "baseline" for failure in failures)
        child = ElementTree.SubElement(
            case,
            "error" if on_baseline else "failure",
            message=_clean(first.line),
            type=first.kind,
        )
        child.text = _clean("\n\n".join(_text(failure) for failure in failures))
    elif not cell.identical:
        message = "; ".join(cell.reasons) or "nothing ran"
        ElementTree.SubElement(case, "skipped", message=_clean(message))
    out = f"{cell.identical} cases identical, {cell.replays} replays"
    ElementTree.SubElement(case, "system-out").text = out


def _text(failure: Failure) -> str:
    lines = [failure.line, *failure.detail, f"reproduce: {failure.reproduce}"]
    return "\n".join(lines)


def _clean(text: str) -> str:
    return _CONTROL.sub("?", text)
