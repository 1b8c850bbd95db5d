"""The older families' kernel, from 0.5.7 on, with DeepGEMM's schedule in it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from tests.patches import run
from tests.patches.kernels import DEVICE, load, scheduling_module
from tests.patches.reference import Buffers, Case, expect_metadata, outputs
from tests.patches.test_draft_kernel import SMS, schedule


@cache
def kernels() -> Any:
    return load("scheduling_metadata_kernel", scheduling_module())


@pytest.mark.parametrize("remainder", [None, "first", "last"])
@pytest.mark.parametrize(
    "case",
    [
        Case(seq_lens=(1,), context=64),
        Case(seq_lens=(9_000, 1, 8_193), context=9_000),
        Case(seq_lens=tuple(range(1, 400, 3)), context=400),
        Case(seq_lens=tuple(700 * n % 3001 + 1 for n in range(40)), context=3001),
    ],
    ids=lambda case: f"{case.bs} rows",
)
def test_writes_the_schedule_with_the_rest(case: Case, remainder: str | None) -> None:
    buffers, out = run.decode_buffers(case)
    m = run.metadata(case, out)
    m.paged_mqa_schedule_metadata = buffers.new("schedule", SMS + 1, 2)
    if remainder is not None:
        planned = schedule(torch.tensor(case.seq_lens), 64, SMS, remainder)
        buffers.expect("schedule", m.paged_mqa_schedule_metadata, planned)
    assert kernels().fill_metadata_inplace(
        m, case.bs, **run.inputs(case), nsa_index_topk=case.topk, remainder=remainder
    )
    buffers.check()


@pytest.mark.parametrize("tokens", [1, 3, 4])
def test_of_target_verify_the_schedule_is_of_every_draft_token(tokens: int) -> None:
    lens = (1, 253, 254, 255, 256, 512, 5000, *range(1, 300, 7))
    case = Case(seq_lens=lens, context=5000, draft_tokens=tokens)
    buffers = Buffers()
    out = outputs(case, buffers, case.bs * tokens)
    kv_lens = [n + tokens for n in lens]
    expect_metadata(case, buffers, out, kv_lens, [tokens] * case.bs)
    m = run.metadata(case, out)
    m.paged_mqa_schedule_metadata = buffers.new("schedule", SMS + 1, 2)
    seen = torch.tensor([n + t for n in lens for t in range(1, tokens + 1)])
    planned = schedule(seen, 64, SMS, "last")
    buffers.expect("schedule", m.paged_mqa_schedule_metadata, planned)
    assert kernels().fill_metadata_inplace(
        m,
        case.bs,
        **run.inputs(case),
        nsa_index_topk=case.topk,
        remainder="last",
        draft_tokens=tokens,
    )
    buffers.check()


@pytest.mark.parametrize("remainder", ["first", "last"])
def test_finds_the_formula(remainder: str) -> None:
    answer = kernels().find_remainder(
        lambda *given: schedule(*given, remainder), SMS, torch.device(DEVICE)
    )
    assert answer == remainder
