from __future__ import annotations

import pytest

from patcher.steps import RequireNeverRead
from tests.kit import FILE, check_noop, check_refused

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
