"""Every kernel against the definition of its metadata, every byte of every buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings

from tests.patches import run
from tests.patches.kernels import DEVICE, kernels
from tests.patches.reference import (
    POISON,
    Buffers,
    Case,
    cases,
    expanded_lens,
    outputs,
)

KERNELS = [run.decode, run.precompute_decode, run.target_verify, run.draft_extend]
Kernel = Callable[[Case], None]

# The interpreter takes milliseconds a program; the GPU does not notice.
EXAMPLES = 25 if DEVICE == "cpu" else 200


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_writes_its_metadata_and_nothing_else(kernel: Kernel) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @example(Case(seq_lens=(1,), context=1, accept=(0,)))
    @example(Case(seq_lens=(2049, 1, 2047), context=2049, accept=(4, 0, 1)))
    @given(cases())
    def check(case: Case) -> None:
        try:
            kernel(case)
        except AssertionError as wrong:
            raise AssertionError(f"{kernel.__name__}, {case}: {wrong}") from None

    check()


# The interpreter takes minutes for the largest.
LARGEST = 1000 if DEVICE == "cpu" else 4096


@pytest.mark.parametrize("bs", [1, 31, 32, 33, 127, 128, 129, LARGEST])
def test_decode_takes_any_batch_size(bs: int) -> None:
    lens = torch.randint(1, 71, (bs,), generator=torch.Generator().manual_seed(bs))
    run.precompute_decode(Case(seq_lens=tuple(lens.tolist()), context=70))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_scans_carry_over_blocks(kernel: Kernel) -> None:
    bs = 300 if DEVICE == "cpu" else 4096
    lens = torch.randint(1, 6, (bs,), generator=torch.Generator().manual_seed(bs))
    accept = tuple((torch.arange(bs) % 5).tolist())
    kernel(Case(seq_lens=tuple(lens.tolist()), context=5, accept=accept))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_page_tables_that_are_not_aligned(kernel: Kernel) -> None:
    # An odd row length leaves every second row off 16 bytes.
    kernel(Case(seq_lens=(67, 66, 65), context=67, draft_tokens=2, accept=(1, 0, 2)))


class Tight(Case):
    """A pool whose rows end where the table does, and its last row in use."""

    def pool(self) -> tuple[torch.Tensor, torch.Tensor]:
        table = torch.arange(self.bs * self.context, dtype=torch.int32, device=DEVICE)
        rows = torch.arange(self.bs - 1, -1, -1)
        return table.view(self.bs, self.context), self.longer(rows)


@pytest.mark.skipif(DEVICE == "cuda", reason="memcheck's business there")
@pytest.mark.parametrize("context", [65, 66, 67, 68])
def test_reads_end_where_the_last_row_does(
    context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triton.runtime.interpreter import InterpreterBuilder

    case = Tight(seq_lens=(context, 1, context - 1), context=context)
    given = run.inputs(case)
    monkeypatch.setattr(run, "inputs", lambda case: given)
    ends = [(t.data_ptr(), t.data_ptr() + 4 * t.numel()) for t in given.values()]
    read = InterpreterBuilder.create_masked_load

    def checked(self: Any, ptrs: Any, mask: Any, *rest: Any) -> Any:
        for address in ptrs.data[mask.data].tolist():
            assert any(begin <= address < end for begin, end in ends), hex(address)
        return read(self, ptrs, mask, *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_masked_load", checked)
    run.decode(case)


def test_a_row_longer_than_its_programs_first_tiles() -> None:
    run.decode(Case(seq_lens=(9000, *[1] * 31), context=9000))


def test_no_column_past_the_callers_limit() -> None:
    case = Case(seq_lens=(130, 70), context=200, page_size=1)
    out = outputs(case, Buffers(), case.bs, expanded=False)
    run.fill(case, out, max_cols=100)
    assert (out["page_table"][:, :100] != POISON).all()
    assert (out["page_table"][:, 100:] == POISON).all()


@pytest.mark.parametrize("accept", [(3,), (0, 0, 4), (4, 0, 1, 2), (0, 0)])
def test_draft_extend_expansion_alone(accept: tuple[int, ...]) -> None:
    kv_lens = [7 + 5 * i for i in range(len(accept))]
    case = Case(seq_lens=tuple(kv_lens), context=64, accept=accept, topk=9)
    expected = expanded_lens(kv_lens, list(accept))

    buffers = Buffers()
    out, nsa = buffers.new("expanded", 20), buffers.new("nsa", 20)
    lens, accepted = case.lens[: case.bs], case.accepted[: case.bs]
    assert kernels().fill_draft_extend_metadata_inplace(
        accepted, lens, case.topk, out, nsa
    )
    buffers.expect("expanded", out, expected)
    buffers.expect("nsa", nsa, expected.clamp(max=9))
    buffers.check()

    simple = kernels().fill_draft_extend_metadata_fused_simple(
        accepted, lens, case.topk
    )
    assert [t.tolist() for t in simple] == [
        expected.tolist(),
        expected.clamp(max=9).tolist(),
    ]
