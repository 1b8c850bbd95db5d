from __future__ import annotations

import pytest

from patcher.plan.edits import plan
from patcher.steps import AddDefinitions, AddMethods, RecipeError
from tests.kit import FILE, check_refused, check_transformed, is_insertion, patch_of
from tests.patcher.steps.kit import WritePayload

MODULE = """\
import os


# About the first.
class First:
    pass
# At its end.


limit = 3


def last():
    return os
"""


def test_a_definition_goes_after_the_named_symbol(payload: WritePayload) -> None:
    source = payload(
        """\
        # What it is for.
        @staticmethod
        def added():
            return 1
        """
    )
    after = """\
import os


# About the first.
class First:
    pass
# At its end.


# nsa-opt: demo
# What it is for.
@staticmethod
def added():
    return 1


limit = 3


def last():
    return os
"""
    check_transformed(MODULE, after, AddDefinitions(FILE, "First", source, ("added",)))
    assert is_insertion(MODULE, after)


def test_definitions_go_after_an_assignment_too(payload: WritePayload) -> None:
    source = payload("SIZE = 4\n\n\ndef unused():\n    pass\n\n\nstep = 2\n")
    after = MODULE.replace(
        "limit = 3\n", "limit = 3\n\n\n# nsa-opt: demo\nSIZE = 4\n\n\nstep = 2\n"
    )
    step = AddDefinitions(FILE, "limit", source, ("step", "SIZE"))
    check_transformed(MODULE, after, step)


def test_a_definition_goes_to_the_end_of_the_file(payload: WritePayload) -> None:
    source = payload("def added():\n    pass\n")
    after = MODULE + "\n\n# nsa-opt: demo\ndef added():\n    pass\n"
    check_transformed(MODULE, after, AddDefinitions(FILE, "last", source, ("added",)))


def test_two_patches_after_one_symbol_keep_their_order(payload: WritePayload) -> None:
    first = AddDefinitions(FILE, "a", payload("x = 1\n"), ("x",))
    second = AddDefinitions(FILE, "x", payload("y = 2\n"), ("y",))
    check_transformed(
        "a = 0\n",
        "a = 0\n\n\n# nsa-opt: one\nx = 1\n\n\n# nsa-opt: two\ny = 2\n",
        patch_of(first, name="one"),
        patch_of(second, name="two"),
    )


def test_a_missing_symbol_is_named_with_the_closest(payload: WritePayload) -> None:
    step = AddDefinitions(FILE, "Frist", payload("x = 1\n"), ("x",))
    reason = check_refused(MODULE, step)
    assert (reason.file, reason.symbol) == (FILE, "Frist")
    assert reason.what == "Frist is not defined (there is First)"


def test_a_name_that_is_taken_is_refused(payload: WritePayload) -> None:
    step = AddDefinitions(FILE, "First", payload("limit = 1\n"), ("limit",))
    assert check_refused(MODULE, step).what == "limit is already defined"


def test_what_only_follows_from_a_conflict_is_not_reported(
    payload: WritePayload,
) -> None:
    missing = AddDefinitions(FILE, "Nothing", payload("x = 1\n"), ("x",))
    follows = AddDefinitions(FILE, "x", payload("y = 1\n"), ("y",))
    assert check_refused(MODULE, missing, follows).symbol == "Nothing"


def test_a_name_that_the_payload_lacks_is_a_bug_of_the_recipe(
    payload: WritePayload,
) -> None:
    step = AddDefinitions(FILE, "First", payload("x = 1\n"), ("y",))
    with pytest.raises(RecipeError, match="does not define y"):
        plan({FILE: MODULE.encode()}, [patch_of(step)])


def test_a_helper_that_was_not_inserted_is_a_bug_of_the_recipe(
    payload: WritePayload,
) -> None:
    source = payload("def helper():\n    pass\n\n\ndef added():\n    helper()\n")
    step = AddDefinitions(FILE, "First", source, ("added",))
    with pytest.raises(RecipeError, match="helper of the payload"):
        plan({FILE: MODULE.encode()}, [patch_of(step)])


CLASS = '''\
class Backend:
    """Doc."""

    def first(self):
        return 1

    # About the second.
    def second(self):
        return 2


other = 1
'''

METHODS = '''\
from mod import Backend


class Extra(Backend):
    """Not copied."""

    kind: str = "x"

    def added(self):
        return [
            1,
        ]

    # About more.
    def more(self):
        pass
'''

REGION = """\
    # nsa-opt: demo
    kind: str = "x"

    def added(self):
        return [
            1,
        ]

    # About more.
    def more(self):
        pass

"""


def test_methods_go_after_the_named_one(payload: WritePayload) -> None:
    step = AddMethods(FILE, "Backend", "first", payload(METHODS), "Extra")
    after = CLASS.replace("    # About the sec", f"{REGION}    # About the sec")
    check_transformed(CLASS, after, step)
    assert is_insertion(CLASS, after)


def test_methods_go_to_the_end_of_the_class(payload: WritePayload) -> None:
    step = AddMethods(FILE, "Backend", "second", payload(METHODS), "Extra")
    after = CLASS.replace("return 2\n\n", f"return 2\n\n{REGION}")
    check_transformed(CLASS, after, step)


def test_members_of_a_class_without_blank_lines_between(payload: WritePayload) -> None:
    source = payload("class Extra:\n    def c(self):\n        pass\n")
    check_transformed(
        "class A:\n    def a(self): pass\n    def b(self): pass\n",
        "class A:\n    def a(self): pass\n\n    # nsa-opt: demo\n    def c(self):\n"
        "        pass\n\n    def b(self): pass\n",
        AddMethods(FILE, "A", "a", source, "Extra"),
    )


def test_tabs_stay_tabs(payload: WritePayload) -> None:
    source = payload("class Extra:\n    def c(self):\n        pass\n")
    check_transformed(
        "class A:\n\tdef a(self):\n\t\tpass\n",
        "class A:\n\tdef a(self):\n\t\tpass\n\n\t# nsa-opt: demo\n\tdef c(self):\n"
        "\t\tpass\n",
        AddMethods(FILE, "A", "a", source, "Extra"),
    )


@pytest.mark.parametrize(
    ("before", "symbol", "what"),
    [
        ("x = 1\n", "Backend", "Backend is not defined"),
        (CLASS.replace("first", "fist"), "Backend.first", "there is fist"),
        (CLASS.replace("second", "more"), "Backend.more", "is already defined"),
        ("class Backend: pass\n", "Backend", "on the line of its header"),
        (CLASS + CLASS, "Backend", "Backend is defined 2 times"),
    ],
)
def test_methods_are_refused(
    payload: WritePayload, before: str, symbol: str, what: str
) -> None:
    step = AddMethods(FILE, "Backend", "first", payload(METHODS), "Extra")
    reason = check_refused(before, step)
    assert reason.symbol == symbol
    assert what in reason.what
