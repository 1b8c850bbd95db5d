"""The draft steps' kernel of family C against the definition of what it writes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from itertools import product
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


# By release and GPU: a threshold, and how many rows may exceed it.
LIMITS = {
    "to 0.5.20": ((65536, 30), (98304, 48), (131072, 60), (196608, 80), (262144, 112)),
    "H200": ((65536, 30), (98304, 45), (131072, 60), (196608, 80), (262144, 112)),
    "B200": ((32768, 48), (131072, 66), (163840, 99), (196608, 132), (262144, 198)),
}
LAST = {"to 0.5.20": 393216, "H200": 393216, "B200": 524288}


def planner(
    limits: tuple[tuple[int, int], ...], last: int, over: int = 1, many: int = 0
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Top-k's planner by its definition; what it leaves alone is poison.

    The threshold goes down for as long as few enough rows exceed the next lower one; the
    rows over it are listed in any order. over, many: of another planner.
    """

    def plan(lens: torch.Tensor) -> torch.Tensor:
        found = torch.full((len(lens) + 1, 2), POISON, dtype=torch.int32, device=DEVICE)
        threshold = last
        for lower, count in reversed(limits):
            if int((lens >= lower + over).sum()) > count + many:
                break
            threshold = lower
        rows = (lens >= threshold + over).nonzero().flatten().flip(0)
        found[0] = torch.tensor([threshold, len(rows)])
        found[1 : 1 + len(rows)] = torch.stack([rows, lens[rows]], 1)
        return found

    return plan


def limits_of(name: str) -> torch.Tensor:
    rows = [*LIMITS[name], *[(LAST[name], 2**31 - 1)] * 16][:16]
    return torch.tensor(rows, dtype=torch.int32, device=DEVICE)


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
        topk_v2_plan=buffers.new("plan", case.bs + 1, 2),
    )


def expected_plan(lens: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Row 0, and the rows over the threshold, in their order."""
    (*few, (last, _)) = limits.tolist()
    lens = lens.to(DEVICE)
    found = planner(tuple(few), last)(lens)
    listed = found[1 : 1 + int(found[0, 1])]
    return torch.cat([found[:1], listed.flip(0)])


def check(
    case: Case,
    remainder: str | None = None,
    wide: bool = True,
    limits: torch.Tensor | None = None,
) -> None:
    buffers = Buffers()
    m = metadata(case, buffers, wide)
    req_to_token, rows = case.pool()
    req_to_token.bitwise_and_(2**30 - 1)  # a page is never negative
    given = (case.lens, rows, req_to_token, case.topk, remainder, limits)
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
    if limits is not None:
        buffers.expect("plan", m.topk_v2_plan, expected_plan(lens, limits))
    try:
        buffers.check()
    except AssertionError as wrong:
        raise AssertionError(f"{case}, {remainder}: {wrong}") from None


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@example(Case(seq_lens=(1,), context=1), None, True, None)
@example(Case(seq_lens=(67, 66, 65), context=67, draft_tokens=2), "last", True, (64, 2))
@given(
    cases(),
    st.sampled_from((None, "first", "last")),
    st.booleans(),
    st.none() | st.tuples(st.integers(0, 200), st.integers(0, 6)),
)
def test_writes_its_metadata_and_nothing_else(
    case: Case, remainder: str | None, wide: bool, first: tuple[int, int] | None
) -> None:
    limits = None
    if first is not None:
        rows = [first, *[(first[0] + 50, 2**31 - 1)] * 15]
        limits = torch.tensor(rows, dtype=torch.int32, device=DEVICE)
    check(case, remainder, wide or case.page_size == 1, limits)


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
    limits = torch.tensor([(300, 40), *[(500, 2**31 - 1)] * 15], dtype=torch.int32)
    case = Case(seq_lens=tuple(lens.tolist()), context=600)
    check(case, "last", wide=False, limits=limits.to(DEVICE))


@pytest.mark.parametrize("name", LIMITS)
def test_plans(name: str) -> None:
    limits = limits_of(name)
    launch = kernels()._topk_plan_kernel
    for threshold, count in (*LIMITS[name], (LAST[name], 300)):
        for length, many in product((threshold, threshold + 1), (count, count + 1)):
            lens = torch.randint(1, 600, (many + 40,), dtype=torch.int32, device=DEVICE)
            lens[torch.randperm(len(lens), device=DEVICE)[:many]] = length
            found = torch.full(
                (len(lens) + 1, 2), POISON, dtype=torch.int32, device=DEVICE
            )
            launch[(1,)](lens, len(lens), found, limits, 16)
            expected = expected_plan(lens, limits)
            assert torch.equal(found[: len(expected)], expected), (length, many)
            assert (found[len(expected) :] == POISON).all()


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_found_by_asking(name: str) -> None:
    plan, asked = planner(LIMITS[name], LAST[name]), []

    def ask(lens: torch.Tensor) -> torch.Tensor:
        asked.append(lens)
        return plan(lens)

    found = kernels().find_limits(ask, torch.device(DEVICE))
    assert torch.equal(found, limits_of(name))
    assert len(asked) < 80


@pytest.mark.parametrize(
    "ask",
    [
        lambda lens: None,
        # What it writes is nobody's: as it is where a GPU has no clusters.
        lambda lens: torch.zeros(len(lens) + 1, 2, dtype=torch.int32, device=DEVICE),
        lambda lens: torch.full((len(lens) + 1, 2), POISON, device=DEVICE).int(),
        planner(LIMITS["H200"], LAST["H200"], over=0),
        lambda lens: torch.randint(
            -9, 9, (len(lens) + 1, 2), dtype=torch.int32, device=DEVICE
        ),
        # Of twenty numbers, too many.
        planner(tuple((1000 * n, n) for n in range(1, 20)), 20000),
        # The longest rows first, whatever the threshold.
        lambda lens: planner(LIMITS["H200"], LAST["H200"])(lens.sort()[0]),
    ],
    ids=["none", "nothing", "poison", "anything", "at least", "too many", "sorted"],
)
def test_a_planner_of_another_kind_is_left_to_itself(ask: Any) -> None:
    assert kernels().find_limits(ask, torch.device(DEVICE)) is None


def test_a_planner_that_never_answers_alike_is_not_asked_for_ever() -> None:
    asked = itertools.count(1)

    def ask(lens: torch.Tensor) -> torch.Tensor:
        plan = torch.zeros(len(lens) + 1, 2, dtype=torch.int32, device=DEVICE)
        plan[0, 0] = next(asked)
        assert plan[0, 0] < 10_000
        return plan

    assert kernels().find_limits(ask, torch.device(DEVICE)) is None


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
            def launch(*args: object) -> None:
                tried.append(1)
                raise RuntimeError("no compiler here")

            return launch

    monkeypatch.setattr(kernels(), "_is_broken", False)
    monkeypatch.setattr(kernels(), "_schedule_kernel", Refusing())
    monkeypatch.setattr(kernels(), "_topk_plan_kernel", Refusing())
    monkeypatch.setattr(kernels(), "_draft_metadata_kernel", Refusing())
    case = Case(seq_lens=(3, 5), context=8)
    answer = kernels().find_remainder(schedule, SMS, torch.device(DEVICE))
    assert answer is None
    ask = planner(LIMITS["H200"], LAST["H200"])
    assert kernels().find_limits(ask, torch.device(DEVICE)) is None
    req_to_token, rows = case.pool()
    filled = [
        kernels().fill_draft_metadata(
            metadata(case, Buffers()),
            case.lens,
            rows,
            req_to_token,
            case.topk,
            None,
            None,
        )
        for _ in range(2)
    ]
    assert filled == [False, False]
    assert tried == [1]
    (record,) = (r for r in caplog.records if r.levelname == "WARNING")
    assert "no compiler here" in record.getMessage()
