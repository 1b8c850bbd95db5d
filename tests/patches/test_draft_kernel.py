"""The draft steps' kernel of family C against the definition of what it writes."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patches import SHARED
from tests.patches.kernels import DEVICE, load
from tests.patches.reference import POISON, Buffers, Case, cases

EXAMPLES = 25 if DEVICE == "cpu" else 200
SMS = 132


@cache
def kernels() -> Any:
    text = (SHARED / "triton_draft_metadata_kernel.py").read_text()
    return load("triton_draft_metadata_kernel", text)


def schedule(
    lens: torch.Tensor, block: int, sms: int, remainder: str = "last"
) -> torch.Tensor:
    """[sms + 1, 2] int32, as sgl-deep-gemm has it: where an SM begins, row and segment.

    A segment is four blocks of one sequence. Every SM takes as many; what is left over
    goes to the first SMs (up to 0.1.2), or to the last (from 0.1.4 on).
    """
    counts = [-(-n // (4 * block)) for n in lens.flatten().tolist()]
    segments = [(row, k) for row, count in enumerate(counts) for k in range(count)]
    share, rest = divmod(len(segments), sms)
    first = [share + (sm < rest) for sm in range(sms)]
    begins = [0]
    for n in first if remainder == "first" else reversed(first):
        begins.append(begins[-1] + n)
    ends = [*segments, (len(counts), 0)]
    return torch.tensor([ends[b] for b in begins], dtype=torch.int32, device=DEVICE)


def metadata(case: Case, buffers: Buffers, wide: bool = True) -> Any:
    cols = case.context + case.draft_tokens
    page = buffers.new("page_table_1", case.bs, cols) if wide else None
    real_cols = -(-cols // case.page_size)
    real = (
        buffers.new("real_page_table", case.bs, real_cols)
        if case.page_size > 1
        else page
    )
    return SimpleNamespace(
        page_size=case.page_size,
        cache_seqlens_int32=buffers.new("cache_seqlens", case.bs),
        cu_seqlens_k=buffers.new("cu_seqlens_k", case.bs + 1),
        dsa_cache_seqlens_int32=buffers.new("dsa_cache_seqlens", case.bs),
        dsa_cu_seqlens_k=buffers.new("dsa_cu_seqlens_k", case.bs + 1),
        page_table_1=page,
        real_page_table=real,
        paged_mqa_schedule_metadata=buffers.new("schedule", SMS + 1, 2),
    )


def check(case: Case, remainder: str | None = None, wide: bool = True) -> None:
    buffers = Buffers()
    m = metadata(case, buffers, wide)
    req_to_token, rows = case.pool()
    req_to_token.bitwise_and_(2**30 - 1)  # a page is never negative
    given = (case.lens, rows, req_to_token, case.topk, remainder)
    assert kernels().fill_draft_metadata(m, *given)

    # The tables: rows as far as their sequences go, and no byte outside of them.
    for row, (n, req) in enumerate(zip(case.seq_lens, rows.tolist(), strict=False)):
        tokens = req_to_token[req, :n]
        if wide:
            assert torch.equal(m.page_table_1[row, :n], tokens), (case, row)
        if case.page_size > 1:
            pages = tokens[:: case.page_size] // case.page_size
            assert torch.equal(m.real_page_table[row, : len(pages)], pages), (case, row)
    for name in ("page_table_1", "real_page_table"):
        table = getattr(m, name)
        if table is not None and name in buffers.expected:
            buffers.expect(name, table, table.clone())

    lens = torch.tensor(case.seq_lens, dtype=torch.int32)
    head = torch.tensor([POISON], dtype=torch.int32)
    for cut, prefix in ((lens, ""), (lens.clamp(max=case.topk), "dsa_")):
        name = "cu_seqlens_k"
        sums = torch.cat([head, cut.cumsum(0, dtype=torch.int32)])
        buffers.expect(f"{prefix}cache_seqlens", m.cache_seqlens_int32, cut)
        buffers.expect(f"{prefix}{name}", getattr(m, f"{prefix}{name}"), sums)
    if remainder is not None:
        planned = schedule(lens, 64, SMS, remainder)
        buffers.expect("schedule", m.paged_mqa_schedule_metadata, planned)
    try:
        buffers.check()
    except AssertionError as wrong:
        raise AssertionError(f"{case}, {remainder}: {wrong}") from None


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@example(Case(seq_lens=(1,), context=1), None, True)
@example(Case(seq_lens=(67, 66, 65), context=67, draft_tokens=2), "last", True)
@given(cases(), st.sampled_from((None, "first", "last")), st.booleans())
def test_writes_its_metadata_and_nothing_else(
    case: Case, remainder: str | None, wide: bool
) -> None:
    check(case, remainder, wide or case.page_size == 1)


@pytest.mark.parametrize("remainder", ["first", "last"])
@pytest.mark.parametrize(
    "lens",
    [(1,), (163840,), (256,) * 132, (257,) * 132, (256,) * 131, (70000, 1, 90000)],
    ids=lambda lens: f"{len(lens)}x{lens[0]}",
)
def test_schedules(lens: tuple[int, ...], remainder: str) -> None:
    given = torch.tensor(lens, dtype=torch.int32, device=DEVICE)
    found = torch.full((SMS + 1, 2), POISON, dtype=torch.int32, device=DEVICE)
    launch = kernels()._schedule_kernel
    launch[(5,)](given, len(lens), found, SMS, remainder)
    assert torch.equal(found, schedule(given, 64, SMS, remainder))


def test_a_row_longer_than_its_programs_first_tiles() -> None:
    check(Case(seq_lens=(9000, *[1] * 31), context=9000))


@pytest.mark.parametrize("bs", [127, 128, 129, 300])
def test_sums_carry_over_blocks(bs: int) -> None:
    lens = torch.randint(1, 600, (bs,), generator=torch.Generator().manual_seed(bs))
    check(Case(seq_lens=tuple(lens.tolist()), context=600), "last", wide=False)


def test_the_formula_is_the_one_that_answers_alike() -> None:
    def found(remainder: str) -> Any:
        return kernels().find_remainder(
            lambda *given: schedule(*given, remainder), SMS, torch.device(DEVICE)
        )

    assert found("first") == "first"
    assert found("last") == "last"
    # Another split, as another kind of GPU may have it.
    other = kernels().find_remainder(
        lambda lens, block, sms: schedule(lens, 2 * block, sms),
        SMS,
        torch.device(DEVICE),
    )
    assert other is None


def test_a_kernel_that_does_not_compile_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    class Refusing:
        def __getitem__(self, grid: object) -> Any:
            tried.append(1)
            raise RuntimeError("no compiler here")

    monkeypatch.setattr(kernels(), "_is_broken", False)
    monkeypatch.setattr(kernels(), "_schedule_kernel", Refusing())
    monkeypatch.setattr(kernels(), "_draft_metadata_kernel", Refusing())
    case = Case(seq_lens=(3, 5), context=8)
    answer = kernels().find_remainder(schedule, SMS, torch.device(DEVICE))
    assert answer is None
    req_to_token, rows = case.pool()
    filled = [
        kernels().fill_draft_metadata(
            metadata(case, Buffers()), case.lens, rows, req_to_token, case.topk, None
        )
        for _ in range(2)
    ]
    assert filled == [False, False]
    assert tried == [1]
    (record,) = (r for r in caplog.records if r.levelname == "WARNING")
    assert "no compiler here" in record.getMessage()
