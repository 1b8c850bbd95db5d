from __future__ import annotations

import pytest

from patcher.steps import AddDefinitions, PrependToBody
from tests.kit import FILE, check_refused, check_transformed, is_insertion
from tests.patcher.steps.kit import WritePayload

HEAD = '''\
"""About this."""

from __future__ import annotations

import os
from typing import List

import numpy as np

from sglang.alpha import A_CONST, Thing, helper
from sglang.gamma import (
    Wide,  # kept
    other,
)

anchor = 1
'''


def check(
    write: WritePayload, imports: str, use: str, *changes: tuple[str, str]
) -> str:
    """Inserting a use of these imports makes these changes above it."""
    after = HEAD
    for old, new in changes:
        assert old in after
        after = after.replace(old, new)
    after += f"\n\n# nsa-opt: demo\nnew = {use}\n"
    source = write(f"{imports}\n\nnew = {use}\n")
    check_transformed(HEAD, after, AddDefinitions(FILE, "anchor", source, ("new",)))
    return after


def test_nothing_is_added_that_is_there(payload: WritePayload) -> None:
    check(payload, "import os\nfrom typing import List", "(os, List)")


def test_nothing_is_added_that_is_not_used(payload: WritePayload) -> None:
    check(payload, "import re\nfrom typing import Dict", "x.re(Dict=1)")


def test_an_import_goes_to_its_place_in_its_section(payload: WritePayload) -> None:
    after = check(
        payload,
        "import abc\nimport re\nfrom collections import Counter\nimport torch",
        "(abc, re, Counter, torch)",
        ("import os\n", "import abc\nimport os\nimport re\n"),
        ("from typing", "from collections import Counter\nfrom typing"),
        ("import numpy as np\n", "import numpy as np\nimport torch\n"),
    )
    assert is_insertion(HEAD, after)


def test_from_imports_of_modules_sort_among_themselves(payload: WritePayload) -> None:
    check(
        payload,
        "from sglang.aaa import x\nfrom sglang.beta10 import y\n"
        "from sglang.beta9 import z\nfrom sglang.zeta import w",
        "(w, x, y, z)",
        ("from sglang.alpha", "from sglang.aaa import x\nfrom sglang.alpha"),
        (
            "from sglang.gamma",
            "from sglang.beta9 import z\nfrom sglang.beta10 import y\n"
            "from sglang.gamma",
        ),
        ("    other,\n)\n", "    other,\n)\nfrom sglang.zeta import w\n"),
    )


def test_a_name_joins_a_line_in_sorted_order(payload: WritePayload) -> None:
    check(
        payload,
        "from sglang.alpha import B_CONST, Tree, about, zoo",
        "(B_CONST, Tree, about, zoo)",
        (
            "A_CONST, Thing, helper",
            "A_CONST, B_CONST, Thing, Tree, about, helper, zoo",
        ),
    )


def test_a_line_that_gets_too_long_is_broken(payload: WritePayload) -> None:
    long = "a_function_with_a_name_that_makes_the_line_too_long"
    check(
        payload,
        f"from sglang.alpha import {long}",
        long,
        (
            "import A_CONST, Thing, helper\n",
            f"import (\n    A_CONST,\n    Thing,\n    {long},\n    helper,\n)\n",
        ),
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("About", ("    Wide,  # kept\n", "    About,\n    Wide,  # kept\n")),
        ("middle", ("    other,\n", "    middle,\n    other,\n")),
        ("zoo", ("    other,\n", "    other,\n    zoo,\n")),
    ],
)
def test_a_name_joins_a_tall_import(
    payload: WritePayload, name: str, change: tuple[str, str]
) -> None:
    after = check(payload, f"from sglang.gamma import {name}", name, change)
    assert is_insertion(HEAD, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(\n    b\n)", "(\n    b,\n    c\n)"),
        ("(\n    b,  # last\n)", "(\n    b,  # last\n    c,\n)"),
        ("(b)", "(b, c)"),
        ("b,", "b, c"),
    ],
)
def test_a_name_joins_at_the_end(
    payload: WritePayload, before: str, after: str
) -> None:
    if before == "b,":
        before, after = "(b,)", "(b, c,)"
    source = payload("from m import c\nnew = c\n")
    check_transformed(
        f"from m import {before}\na = 1\n",
        f"from m import {after}\na = 1\n\n\n# nsa-opt: demo\nnew = c\n",
        AddDefinitions(FILE, "a", source, ("new",)),
    )


def test_a_renamed_import_stands_alone(payload: WritePayload) -> None:
    check(
        payload,
        "from sglang.alpha import helper as h\nimport torch.nn as nn",
        "(h, nn)",
        (
            "import numpy as np\n",
            "import numpy as np\nimport torch.nn as nn\n",
        ),
        ("Thing, helper\n", "Thing, helper\nfrom sglang.alpha import helper as h\n"),
    )


def test_a_new_section_gets_its_blank_lines(payload: WritePayload) -> None:
    source = payload(
        "import os\nimport torch\nimport sglang.x as x\nnew = (os, torch, x)\n"
    )
    check_transformed(
        '"""Doc."""\na = 1\n',
        '"""Doc."""\n\nimport os\n\nimport torch\n\nimport sglang.x as x\n\na = 1\n\n\n'
        "# nsa-opt: demo\nnew = (os, torch, x)\n",
        AddDefinitions(FILE, "a", source, ("new",)),
    )


def test_typing_imports_join_their_block(payload: WritePayload) -> None:
    source = payload(
        """\
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from sglang.alpha import Other
            from sglang.beta import Spec


        def new(a: Other, b: "Spec"):
            pass
        """
    )
    before = (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from sglang.alpha import Thing\n\na = 1\n"
    )
    after = before.replace(
        "import Thing\n", "import Other, Thing\n    from sglang.beta import Spec\n"
    )
    after += '\n\n# nsa-opt: demo\ndef new(a: Other, b: "Spec"):\n    pass\n'
    check_transformed(before, after, AddDefinitions(FILE, "a", source, ("new",)))


def test_a_typing_block_is_made_where_there_is_none(payload: WritePayload) -> None:
    source = payload(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from sglang.beta import Spec\nnew: Spec = 1\n"
    )
    check_transformed(
        "import os\na = os\n",
        "import os\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from sglang.beta import Spec\n\n\na = os\n\n\n# nsa-opt: demo\n"
        "new: Spec = 1\n",
        AddDefinitions(FILE, "a", source, ("new",)),
    )


def test_a_typing_import_does_not_serve_at_run_time(payload: WritePayload) -> None:
    before = (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from sglang.beta import Spec\n\na = 1\n"
    )
    after = before.replace(
        "CHECKING\n\nif", "CHECKING\n\nfrom sglang.beta import Spec\n\nif"
    )
    source = payload("from sglang.beta import Spec\nnew = Spec()\n")
    check_transformed(
        before,
        f"{after}\n\n# nsa-opt: demo\nnew = Spec()\n",
        AddDefinitions(FILE, "a", source, ("new",)),
    )


def test_a_name_with_another_meaning_is_refused(payload: WritePayload) -> None:
    source = payload("from sglang.beta import helper\nnew = helper\n")
    reason = check_refused(HEAD, AddDefinitions(FILE, "anchor", source, ("new",)))
    assert reason.symbol == "helper"
    assert reason.what == (
        "helper already means something else than `from sglang.beta import helper`"
    )


def test_imports_of_the_target_itself_are_dropped(payload: WritePayload) -> None:
    source = payload("from sglang.mod import anchor\nnew = anchor\n")
    after = HEAD + "\n\n# nsa-opt: demo\nnew = anchor\n"
    check_transformed(HEAD, after, AddDefinitions(FILE, "anchor", source, ("new",)))


def test_a_name_that_the_target_should_have_is_named(payload: WritePayload) -> None:
    source = payload("from sglang.mod import gone\n\n\ndef hook():\n    return gone\n")
    before = "def go():\n    pass\n"
    reason = check_refused(before, PrependToBody(FILE, "go", source, "hook"))
    assert reason.symbol == "gone"
    assert reason.what == "gone, which the patch uses, is not defined"
