from __future__ import annotations

import pytest

from patcher.steps import AddEnvFlag
from tests.kit import FILE, check_refused, check_transformed, is_insertion, patch_of

MODULE = """\
class Envs:
    # fmt: off

    # Logging
    LOG = EnvBool(False)
    STEPS = EnvInt(2 ** 4)  # as  it  stands

    # fmt: on


envs = Envs()
"""

FLAG = AddEnvFlag(FILE, "Envs", "FAST", True, "Speed")
WIDE = AddEnvFlag(FILE, "Envs", "WIDE", False, "Speed")


def test_a_flag_gets_a_section_of_its_own_at_the_end() -> None:
    after = MODULE.replace(
        "\n    # fmt: on",
        "\n    # Speed\n    # nsa-opt: demo\n    FAST = EnvBool(True)\n\n    # fmt: on",
    )
    check_transformed(MODULE, after, FLAG)
    assert is_insertion(MODULE, after)


def test_a_second_flag_joins_the_section() -> None:
    after = MODULE.replace(
        "\n    # fmt: on",
        "\n    # Speed\n    # nsa-opt: one\n    FAST = EnvBool(True)\n"
        "    # nsa-opt: two\n    WIDE = EnvBool(False)\n\n    # fmt: on",
    )
    check_transformed(
        MODULE, after, patch_of(FLAG, name="one"), patch_of(WIDE, name="two")
    )


def test_a_flag_joins_a_section_that_the_tree_has() -> None:
    before = MODULE.replace("# Logging", "# Speed").replace(
        "    # fmt: on", "    # Last\n    LAST = EnvBool(False)\n\n    # fmt: on"
    )
    after = before.replace(
        "stands\n", "stands\n    # nsa-opt: demo\n    FAST = EnvBool(True)\n"
    )
    check_transformed(before, after, FLAG)


@pytest.mark.parametrize(
    ("before", "symbol"),
    [("x = 1\n", "Envs"), (MODULE.replace("LOG", "FAST"), "Envs.FAST")],
)
def test_it_is_refused(before: str, symbol: str) -> None:
    assert check_refused(before, FLAG).symbol == symbol


def test_a_heading_may_say_more_than_the_sections_name() -> None:
    before = MODULE.replace("# Logging", "# speed (see the manual)")
    after = before.replace(
        "stands\n", "stands\n    # nsa-opt: demo\n    FAST = EnvBool(True)\n"
    )
    check_transformed(before, after, FLAG)
