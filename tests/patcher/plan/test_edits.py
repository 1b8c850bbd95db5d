from __future__ import annotations

import codecs

import pytest

from patcher.plan.edits import plan
from patcher.steps import AddDefinitions
from tests.kit import FILE, patch_of
from tests.patcher.steps.kit import WritePayload


@pytest.fixture
def step(payload: WritePayload) -> AddDefinitions:
    source = payload("import os\n\n\ndef b():\n    return os\n")
    return AddDefinitions(FILE, "a", source, ("b",))


def test_line_ends_and_a_bom_are_kept(step: AddDefinitions) -> None:
    before = codecs.BOM_UTF8 + b"import re\r\n\r\na = re\r\n"
    planned = plan({FILE: before}, [patch_of(step)])
    assert planned.edits[FILE] == codecs.BOM_UTF8 + (
        b"# nsa-opt: demo\r\nimport os\r\nimport re\r\n\r\na = re\r\n\r\n\r\n"
        b"def b():\r\n    return os\r\n"
    )


def test_line_ends_inside_inserted_strings_are_the_files_own(
    payload: WritePayload,
) -> None:
    source = payload('def b():\n    """One\n    two."""\n')
    step = AddDefinitions(FILE, "a", source, ("b",))
    planned = plan({FILE: b"a = 1\r\n"}, [patch_of(step)])
    assert planned.edits[FILE].count(b"\n") == planned.edits[FILE].count(b"\r\n") == 7


def test_mixed_line_ends_stay_mixed(step: AddDefinitions) -> None:
    before = b"import os\na = 1\r\nz = 2\n"
    planned = plan({FILE: before}, [patch_of(step)])
    lines = planned.edits[FILE].splitlines(keepends=True)
    assert [line for line in before.splitlines(keepends=True) if line in lines] == (
        before.splitlines(keepends=True)
    )


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (b"a = '\xe9'\n", "not readable as UTF-8 Python"),
        (b"a = 1\n# " + b"x" * 9000 + b"\xe9\n", "not UTF-8 at byte 9008"),
        (b"# -*- coding: latin-1 -*-\na = '\xe9'\n", "the encoding iso-8859-1"),
        (b"a = (\n", "not valid Python at line"),
        (b"a = 1\0\n", "not valid Python"),
        (b"", "a is not defined"),
    ],
)
def test_what_cannot_be_read_is_refused(
    step: AddDefinitions, before: bytes, what: str
) -> None:
    (reason,) = plan({FILE: before}, [patch_of(step)]).conflicts
    assert reason.file == FILE
    assert what in reason.what


def test_a_missing_file_is_refused(step: AddDefinitions) -> None:
    (reason,) = plan({}, [patch_of(step)]).conflicts
    assert (reason.file, reason.what) == (FILE, "the tree has no such file")


def test_a_result_that_does_not_compile_is_refused(payload: WritePayload) -> None:
    step = AddDefinitions(FILE, "a", payload("b = 1\nreturn_ = 2\n"), ("b",))
    planned = plan({FILE: b"a = 1\nreturn 1\n"}, [patch_of(step)])
    (reason,) = planned.conflicts
    assert "does not compile" in reason.what
    assert planned.edits == {}


def test_planning_leaves_its_input_alone(step: AddDefinitions) -> None:
    originals = {FILE: b"a = 1\n"}
    planned = plan(originals, [patch_of(step)])
    assert originals == {FILE: b"a = 1\n"}
    assert planned.originals == originals
    assert planned.created == frozenset()
