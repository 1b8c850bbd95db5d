"""A scenario's text is the scenario."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from verify.cases.fuzz import scenarios as drawn
from verify.worker.scenario import (
    Replay,
    Scenario,
    ScenarioError,
    parse,
    parse_replays,
    replays_text,
)

TEXT = "decode:n4:p64:fa3:s32:r64:c1,8,32:x2304:k2048:d4:tour6"


@settings(max_examples=60, deadline=None)
@given(drawn("draft_extend", 8))
def test_text_and_back(scenario: Scenario) -> None:
    assert parse(scenario.text()) == scenario


def test_named_script() -> None:
    assert parse(TEXT).text() == TEXT
    assert parse(TEXT).capture == (1, 8, 32)


def test_runs_are_written_short() -> None:
    replays = (Replay((7, 7, 7, 9), (0, 1, 2, 3)), Replay(recapture=0))
    assert replays_text(replays) == "7*3,9/!"
    assert parse_replays("7*3,9/!") == replays


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("decode", "prefill"), "unknown mode"),
        (TEXT.replace("fa3", "fa9"), "unknown decode kernel"),
        (TEXT.replace("n4", "four"), "expected n<number>"),
        (TEXT.replace(":tour6", ""), "11 parts"),
        (TEXT.replace("c1,8,32", "c8,1"), "ascending"),
        (TEXT.replace("s32", "s16"), "32 or 64"),
        (TEXT.replace("tour6", "9999"), "lengths must lie in"),
        (TEXT.replace("tour6", "1*64"), "does not fit"),
        (TEXT.replace("tour6", "1,x"), "not a number"),
        (TEXT.replace("tour6", "1@2,3"), "as many"),
        (TEXT.replace("tour6", "!7"), "never captured"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        parse(text)
