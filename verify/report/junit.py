"""JUnit XML: a suite a mode, a case a route; its name stays, whatever fails in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from patcher.results import Exit, Refusal
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
            found = [f for f in report.failures if place in f.places]
            _case(suite, cell, found, stopped=report.incomplete is not None)
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall(".//failure"))))
        suite.set("errors", str(len(suite.findall(".//error"))))
        suite.set("skipped", str(len(suite.findall(".//skipped"))))
        suite.set("time", f"{sum(cell.seconds for cell in cells):.2f}")
    if report.incomplete is not None:
        _in_error(root, "stopped", report.summary, Exit(report.exit_code), [])
    return _written(root)


def refused(refusal: Refusal) -> str:
    """One test case that is in error: nothing could be verified, for these reasons."""
    lines = [
        ": ".join(filter(None, (reason.file, reason.symbol, reason.what, reason.hint)))
        for reason in refusal.reasons
    ]
    root = ElementTree.Element("testsuites", name="verify-nsa-opt")
    _in_error(root, "refused", refusal.reasons[0].what, refusal.code, lines)
    return _written(root)


def _in_error(
    root: ElementTree.Element, name: str, what: str, code: Exit, lines: list[str]
) -> None:
    """A suite of one test case in error: a run without a verdict passes nowhere."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    suite = ElementTree.SubElement(root, "testsuite", name=name, attrib=counts)
    case = ElementTree.SubElement(suite, "testcase", classname=name, name="verify")
    error = ElementTree.SubElement(case, "error", message=_clean(what), type=code.name)
    error.text = _clean("\n".join(lines))


def _written(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(
    suite: ElementTree.Element, cell: Cell, failures: list[Failure], *, stopped: bool
) -> None:
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
    elif stopped or not cell.identical:
        nothing = "the run was stopped" if stopped else "nothing ran"
        message = "; ".join(cell.reasons) or nothing
        ElementTree.SubElement(case, "skipped", message=_clean(message))
    out = f"{cell.identical} cases identical, {cell.replays} replays"
    ElementTree.SubElement(case, "system-out").text = out


def _text(failure: Failure) -> str:
    lines = [failure.line, *failure.detail, f"reproduce: {failure.reproduce}"]
    return "\n".join(lines)


def _clean(text: str) -> str:
    return _CONTROL.sub("?", text)
