from __future__ import annotations

from pathlib import Path

import pytest

from patcher.plan.edits import plan
from patcher.steps import AddFile, AddModule, PrependToBody, RecipeError
from tests.kit import FILE, check_refused, check_transformed, patch_of
from tests.patcher.steps.kit import WritePayload

FIRST = '''\
"""Kernels."""

import torch


def fill(x):
    return torch.ones(x)
'''

SECOND = '''\
"""More kernels."""

import math

import torch

from sglang.mod import fill

# How far.
LIMIT = 4


def widen(x):
    return fill(math.floor(x), LIMIT, torch)
'''

BOTH = '''\
# nsa-opt: one
"""Kernels."""

import math

import torch


def fill(x):
    return torch.ones(x)


# nsa-opt: two
# How far.
LIMIT = 4


def widen(x):
    return fill(math.floor(x), LIMIT, torch)
'''


def test_a_module_is_created_with_the_payload_text(payload: WritePayload) -> None:
    check_transformed(
        {}, {FILE: f"# nsa-opt: demo\n{FIRST}"}, AddModule(FILE, payload(FIRST))
    )


def test_a_second_patch_joins_it(payload: WritePayload) -> None:
    check_transformed(
        {},
        {FILE: BOTH},
        patch_of(AddModule(FILE, payload(FIRST)), name="one"),
        patch_of(AddModule(FILE, payload(SECOND)), name="two"),
    )


def test_what_is_there_and_the_same_is_skipped(payload: WritePayload) -> None:
    check_transformed(
        {},
        {FILE: f"# nsa-opt: one\n{FIRST}"},
        patch_of(AddModule(FILE, payload(FIRST)), name="one"),
        patch_of(AddModule(FILE, payload(FIRST.replace("(x)", "( x )"))), name="two"),
    )


def test_what_is_there_and_differs_is_refused(payload: WritePayload) -> None:
    reason = check_refused(
        {},
        AddModule(FILE, payload(FIRST)),
        AddModule(FILE, payload(FIRST.replace("ones", "zeros"))),
    )
    assert (reason.file, reason.symbol) == (FILE, "fill")


def test_a_file_of_the_tree_is_not_joined(payload: WritePayload) -> None:
    reason = check_refused("x = 1\n", AddModule(FILE, payload(FIRST)))
    assert reason.what == "the tree already has this file"


def test_only_definitions_can_be_joined(payload: WritePayload) -> None:
    loose = payload(FIRST + "\n\nprint(1)\n")
    steps = [AddModule(FILE, payload(FIRST)), AddModule(FILE, loose)]
    with pytest.raises(RecipeError, match="only definitions"):
        plan({}, [patch_of(*steps)])


def test_what_is_no_python_is_added_as_it_is(tmp_path: Path) -> None:
    cuda = tmp_path / "kernel.cuh"
    cuda.write_text("#pragma once\n")
    wanted = {"sglang/kernel.cuh": "// nsa-opt: demo\n#pragma once\n"}
    check_transformed({}, wanted, AddFile("sglang/kernel.cuh", cuda))


def test_what_is_no_python_is_never_written_over(tmp_path: Path) -> None:
    cuda = tmp_path / "kernel.cuh"
    cuda.write_text("#pragma once\n")
    step = AddFile("sglang/kernel.cuh", cuda)
    for there in ({"sglang/kernel.cuh": "// mine\n"}, {}):
        reason = check_refused(there, step, *([] if there else [step]))
        assert reason.what == "the tree already has this file"


def test_what_one_patch_created_another_can_edit(payload: WritePayload) -> None:
    early = "def fill(x):\n    if not x:\n        return None\n"
    body = "    if not x:\n        return None\n\n    return torch.ones(x)\n"
    check_transformed(
        {},
        {
            FILE: "# nsa-opt: one, two\n"
            + FIRST.replace("    return torch.ones(x)\n", body)
        },
        patch_of(AddModule(FILE, payload(FIRST)), name="one"),
        patch_of(PrependToBody(FILE, "fill", payload(early), "fill"), name="two"),
    )
