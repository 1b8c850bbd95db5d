from __future__ import annotations

import pytest

from patcher.steps import RequireKnown, RequireNeverRead, RequireReaders
from tests.kit import FILE, check_noop, check_refused
from tests.patcher.lookalike import BACKEND, FILES

STEP = RequireNeverRead(FILE, "step_id")


def module(statement: str) -> str:
    return f"class A:\n    def go(self, step_id):\n        {statement}\n"


@pytest.mark.parametrize(
    "statement", ["self.step_id = step_id", "self.step_ids = 1", "del self.step_id"]
)
def test_writing_is_fine(statement: str) -> None:
    check_noop(module(statement), STEP)


@pytest.mark.parametrize(
    "statement",
    [
        "return self.step_id + 1",
        "self.step_id += 1",
        "return getattr(self, 'step_id')",
        "other(lambda b: b.step_id)",
    ],
)
def test_reading_is_refused_where_it_happens(statement: str) -> None:
    reason = check_refused(module(statement), STEP)
    assert reason.symbol == "A.go"
    assert "step_id" in reason.lines[0]


REPLAY = RequireKnown(BACKEND, "Backend.replay")


@pytest.mark.parametrize("total", ["sum(lens)", "len(lens)"])
def test_what_some_release_has_is_known(known: None, total: str) -> None:
    text = FILES[BACKEND].replace("sum(lens)", total).replace("import numpy\n", "")
    check_noop({BACKEND: text.replace("\n", "\r\n")}, REPLAY)


def test_what_no_release_has_is_refused_with_its_lines(known: None) -> None:
    text = FILES[BACKEND].replace("sum(lens)", "min(lens)")
    reason = check_refused({BACKEND: text}, REPLAY)
    assert reason.symbol == "Backend.replay"
    assert reason.what.endswith("which the patch repeats, is not as in sglang 1.0")
    assert reason.lines == ("+         total = min(lens)",)


def test_what_is_gone_is_refused(known: None) -> None:
    reason = check_refused({BACKEND: "class Backend: ...\n"}, REPLAY)
    assert reason.what == "Backend.replay is not defined"


def test_what_may_be_lacking_is_refused_only_where_it_differs(known: None) -> None:
    step = RequireKnown(BACKEND, "Backend.replay", may_lack=True)
    check_noop({BACKEND: "class Backend: ...\n"}, step)
    text = FILES[BACKEND].replace("sum(lens)", "min(lens)")
    assert check_refused({BACKEND: text}, step).symbol == "Backend.replay"


OTHER = "sglang/srt/other.py"
READER = RequireReaders(FILE, "table", {(FILE, "A.go"): 1})


@pytest.mark.parametrize(
    ("file", "text", "symbol"),
    [
        (FILE, module("return self.table, self.table"), "A.go"),
        (OTHER, module("return self.table"), "A.go"),
        (OTHER, "def peek(m):\n    return getattr(m, 'table')\n", "peek"),
        (OTHER, "found = first.table\n", ""),
    ],
)
def test_a_reader_that_nobody_named_is_refused(
    file: str, text: str, symbol: str
) -> None:
    reason = check_refused({FILE: module("return self.table"), file: text}, READER)
    assert (reason.file, reason.symbol) == (file, symbol)
    assert "table" in reason.lines[0]


def test_a_reader_that_was_named_is_fine() -> None:
    other = "table = 1\n# its table\ndef table(): pass\nself.table = 2\n"
    check_noop({FILE: module("return self.table"), OTHER: other}, READER)
