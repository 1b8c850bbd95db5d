from __future__ import annotations

from typing import Any

import pytest

from patcher.plan.edits import plan
from patcher.steps import (
    AddDefinitions,
    AddMethods,
    AddParameter,
    Drop,
    HasGlobal,
    HasMethod,
    LacksMethod,
    Rename,
    Respell,
    Where,
)
from patcher.steps.adapt import Adapt, When
from tests.kit import FILE, check_transformed, patch_of
from tests.patcher.steps.kit import WritePayload

NEW = "class A:\n    impl: int\n\n    def a(self):\n        pass\n\n    def setup(self):\n        pass\n"
OLD = "IMPL: int\n\n\nclass A:\n    def a(self):\n        pass\n"

OTHER = "sglang/other.py"

# A blank line parts what may be dropped from the rest; it goes along.
PAYLOAD = """\
class Extra:
    def b(self):
        self.setup( )

        return self.impl + self.impl.x
"""

ADAPT: tuple[Adapt, ...] = (
    Rename("self.impl", "IMPL", HasGlobal("IMPL")),
    Drop("self.setup()", LacksMethod("A", "setup")),
)


@pytest.mark.parametrize(
    ("before", "body"),
    [
        (NEW, "        self.setup( )\n\n        return self.impl + self.impl.x\n"),
        (OLD, "        return IMPL + IMPL.x\n"),
    ],
)
def test_a_payload_fits_each_family(
    payload: WritePayload, before: str, body: str
) -> None:
    marked = f"        pass\n\n    # nsa-opt: demo\n    def b(self):\n{body}"
    after = before.replace("        pass\n", marked, 1)
    step = AddMethods(FILE, "A", "a", payload(PAYLOAD), "Extra", ADAPT)
    check_transformed(before, after, step)


def test_a_payload_speaks_another_family(payload: WritePayload) -> None:
    text = """\
class Extra:
    def b(self, old_x):
        OldThing = bold = old_x.old
        return OldThing(old_y=bold)
"""
    body = """\
    def b(self, new_x):
        NewThing = bold = new_x.new
        return NewThing(new_y=bold)
"""
    after = f"{OLD}\n    # nsa-opt: demo\n{body}"
    respell = (Respell("old", "new"), Respell("Old", "New"))
    step = AddMethods(FILE, "A", "a", payload(text), "Extra", respell)
    check_transformed(OLD, after, step)


@pytest.mark.parametrize(
    ("when", "new", "old"),
    [
        (HasGlobal("IMPL"), False, True),
        (HasMethod("A", "setup"), True, False),
        (LacksMethod("A", "setup"), False, True),
    ],
)
def test_questions_about_a_target(when: When, new: bool, old: bool) -> None:
    from libcst import parse_module

    assert when(parse_module(NEW)) is new
    assert when(parse_module(OLD)) is old


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ({}, True),
        ({"has": OTHER}, True),
        ({"has": "sglang/none.py"}, False),
        ({"lacks": OTHER}, False),
        ({"lacks": "sglang/none.py"}, True),
        ({"when": HasGlobal("IMPL")}, True),
        ({"when": HasGlobal("NONE")}, False),
        ({"unless": HasGlobal("IMPL")}, False),
        ({"has": OTHER, "unless": HasGlobal("NONE")}, True),
    ],
)
def test_a_step_is_taken_only_where_it_is_asked_for(
    payload: WritePayload, conditions: dict[str, Any], taken: bool
) -> None:
    made = payload("def extra():\n    return 1\n")
    step = AddDefinitions(FILE, "A", made, ("extra",))
    where = Where(step, **conditions)
    assert (where.file, where.adds()) == (FILE, step.adds())
    before = {FILE: OLD, OTHER: "x = 1\n"}
    planned = plan({f: text.encode() for f, text in before.items()}, [patch_of(where)])
    assert planned.conflicts == ()
    assert (FILE in planned.edits) is taken


@pytest.mark.parametrize(
    ("old", "after", "new"),
    [
        ("(self, x)", "self", "(self, y: int, x)"),
        ("(self, x)", "x", "(self, x, y: int)"),
        (
            "(\n        self,\n        x,\n    )",
            "x",
            "(\n        self,\n        x,\n        y: int,\n    )",
        ),
        ("(\n        self, x\n    )", "x", "(\n        self, x, y: int\n    )"),
        ("(self, z)", "x", "(self, z)"),
    ],
)
def test_a_function_takes_more(
    payload: WritePayload, old: str, after: str, new: str
) -> None:
    text = "class Extra:\n    def b{}:\n        return 1\n"
    adapt = (AddParameter("b", "y: int", after, HasGlobal("A")),)
    step = AddMethods(FILE, "A", "a", payload(text.format(old)), "Extra", adapt)
    method = text.format(new).partition("\n")[2]
    check_transformed(OLD, f"{OLD}\n    # nsa-opt: demo\n{method}", step)
