from __future__ import annotations

from pathlib import Path

import pytest

from patcher.plan.edits import plan
from patcher.steps import (
    InsertAfter,
    InsertBefore,
    PrependToBody,
    RecipeError,
)
from tests.kit import FILE, check_refused, check_transformed, is_insertion, patch_of
from tests.patcher.steps.kit import WritePayload

MODULE = '''\
class Runner:
    def capture(self, size, *, deep=False):
        """Capture it."""
        # The first thing.
        start = size

        def run_once():
            # Get ready.
            ready = prepare( start )
            if ready:
                ready = prepare(start, 1)
            return ready

        return run_once
'''

PAYLOAD = '''\
class Dispatch:
    def capture(self, size, *, deep=False):
        """Not copied."""
        # Take the short way.
        if deep:
            return None


def hook():
    first()

    # Then more.
    second()
'''


@pytest.fixture
def source(payload: WritePayload) -> Path:
    return payload(PAYLOAD)


def test_prepends_after_the_docstring(source: Path) -> None:
    after = MODULE.replace(
        "        # The first thing.",
        """
        # nsa-opt: demo
        # Take the short way.
        if deep:
            return None

        # The first thing.""",
    )
    check_transformed(
        MODULE, after, PrependToBody(FILE, "Runner.capture", source, "Dispatch.capture")
    )
    assert is_insertion(MODULE, after)


def test_prepends_where_there_is_no_docstring(source: Path) -> None:
    check_transformed(
        "def go():\n    return 1\n",
        "def go():\n    # nsa-opt: demo\n    first()\n\n    # Then more.\n    second()\n"
        "\n    return 1\n",
        PrependToBody(FILE, "go", source, "hook"),
    )


def test_other_parameters_are_refused_and_shown(source: Path) -> None:
    before = MODULE.replace("deep=False", "shallow=True, **more")
    step = PrependToBody(FILE, "Runner.capture", source, "Dispatch.capture")
    reason = check_refused(before, step)
    assert reason.symbol == "Runner.capture"
    assert reason.lines == (
        "- (self, size, *, deep)",
        "+ (self, size, *, shallow, **more)",
    )


def test_inserts_before_an_anchor_and_its_comments(source: Path) -> None:
    after = MODULE.replace(
        "            # Get ready.",
        """\
            # nsa-opt: demo
            first()

            # Then more.
            second()

            # Get ready.""",
    )
    step = InsertBefore(
        FILE, "Runner.capture.run_once", "ready = prepare(start)", source, "hook"
    )
    check_transformed(MODULE, after, step)
    assert is_insertion(MODULE, after)


def test_inserts_after_an_anchor_in_a_nested_block(source: Path) -> None:
    after = MODULE.replace(
        "                ready = prepare(start, 1)\n",
        """\
                ready = prepare(start, 1)

                # nsa-opt: demo
                first()

                # Then more.
                second()
""",
    )
    step = InsertAfter(
        FILE, "Runner.capture.run_once", "ready = prepare(start, 1)", source, "hook"
    )
    check_transformed(MODULE, after, step)


def test_an_anchor_in_a_nested_function_does_not_count(source: Path) -> None:
    step = InsertBefore(FILE, "Runner.capture", "return ready", source, "hook")
    reason = check_refused(MODULE, step)
    assert reason.what == "the statement to anchor on is not in Runner.capture"


def test_a_changed_anchor_is_shown_beside_what_was_expected(source: Path) -> None:
    before = MODULE.replace("prepare( start )", "prepared(start)")
    step = InsertBefore(
        FILE, "Runner.capture.run_once", "ready = prepare(start)", source, "hook"
    )
    reason = check_refused(before, step)
    assert reason.symbol == "Runner.capture.run_once"
    assert reason.lines[0] == "- ready = prepare(start)"
    assert reason.lines[-1] == "+ ready = prepared(start)"


def test_an_anchor_that_stands_twice_is_refused(source: Path) -> None:
    before = MODULE.replace("prepare(start, 1)", "prepare(start)")
    step = InsertAfter(
        FILE, "Runner.capture.run_once", "ready = prepare(start)", source, "hook"
    )
    assert "stands 2 times" in check_refused(before, step).what


@pytest.mark.parametrize("anchor", ["a = ", "a = 1\nb = 2"])
def test_an_anchor_that_is_not_one_statement_is_a_bug(
    source: Path, anchor: str
) -> None:
    step = InsertAfter(FILE, "Runner.capture", anchor, source, "hook")
    with pytest.raises(RecipeError):
        plan({FILE: MODULE.encode()}, [patch_of(step)])


def test_an_empty_payload_function_is_a_bug(payload: WritePayload) -> None:
    source = payload('def hook():\n    """Nothing."""\n')
    step = PrependToBody(FILE, "Runner.capture", source, "hook")
    with pytest.raises(RecipeError, match="is empty"):
        plan({FILE: MODULE.encode()}, [patch_of(step)])
