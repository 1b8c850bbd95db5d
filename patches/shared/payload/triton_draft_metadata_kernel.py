"""One Triton kernel that writes a draft step's DSA metadata straight into its buffers."""

import logging
from bisect import bisect_right
from typing import Callable, Dict, Optional

import torch
import triton
import triton.language as tl

logger = logging.getLogger(__name__)

_is_broken = False


@triton.jit
def _schedule_kernel(
    seq_lens,
    bs,
    schedule,
    NUM_SMS: tl.constexpr,
    REMAINDER: tl.constexpr,
):
    """DeepGEMM's plan: segments of 256 tokens, each SM as many; where an SM begins."""
    seqs = tl.arange(0, 128)
    total = 0
    for start in range(0, bs, 128):
        kv_len = tl.load(seq_lens + start + seqs, mask=start + seqs < bs, other=0)
        total += tl.sum(tl.cdiv(kv_len.to(tl.int32), 256), 0)
    share = total // NUM_SMS
    rest = total - share * NUM_SMS
    # Small tiles: the registers of this are those of every program of the kernel.
    rows = tl.arange(0, 32)
    for tile in range(tl.program_id(0) * 16, NUM_SMS + 1, tl.num_programs(0) * 16):
        sm = tile + tl.arange(0, 16)
        if REMAINDER == "first":
            begin = sm * share + tl.minimum(sm, rest)
        else:
            begin = sm * share + tl.maximum(sm - (NUM_SMS - rest), 0)
        row = tl.zeros_like(sm)
        before = tl.zeros_like(sm)
        ended = 0
        for start in range(0, bs, 32):
            there = start + rows < bs
            kv_len = tl.load(seq_lens + start + rows, mask=there, other=0)
            segments = tl.cdiv(kv_len.to(tl.int32), 256)
            ends = ended + tl.cumsum(segments, 0)
            ended += tl.sum(segments, 0)
            past = there[None, :] & (ends[None, :] <= begin[:, None])
            row += tl.sum(past.to(tl.int32), 1)
            before += tl.sum(tl.where(past, segments[None, :], 0), 1)
        tl.store(schedule + 2 * sm, row, mask=sm <= NUM_SMS)
        tl.store(schedule + 2 * sm + 1, begin - before, mask=sm <= NUM_SMS)


@triton.jit
def _topk_plan_kernel(seq_lens, bs, plan, limits, NUM_LIMITS: tl.constexpr):
    """Top-k's plan: the lowest threshold that few enough rows exceed, and those rows."""
    limit = limits + 2 * tl.arange(0, NUM_LIMITS)
    thresholds = tl.load(limit)
    longer = tl.zeros_like(thresholds)
    for start in range(0, bs, 128):
        i = start + tl.arange(0, 128)
        kv_len = tl.load(seq_lens + i, mask=i < bs, other=0).to(tl.int32)
        longer += tl.sum((kv_len[:, None] > thresholds[None, :]).to(tl.int32), 0)
    fits = longer <= tl.load(limit + 1)
    threshold = tl.min(tl.where(fits, thresholds, 2147483647), 0)
    count = 0
    for start in range(0, bs, 128):
        i = start + tl.arange(0, 128)
        kv_len = tl.load(seq_lens + i, mask=i < bs, other=0).to(tl.int32)
        is_longer = kv_len > threshold
        item = plan + 2 * (count + tl.cumsum(is_longer.to(tl.int32), 0))
        count += tl.sum(is_longer.to(tl.int32), 0)
        tl.store(item, i, mask=is_longer)
        tl.store(item + 1, kv_len, mask=is_longer)
    tl.store(plan, threshold)
    tl.store(plan + 1, count)


# Compiled for types and constexprs, never for values: no batch starts a compiler.
@triton.jit(do_not_specialize=list(range(17)))
def _draft_metadata_kernel(
    seq_lens,
    req_pool_indices,
    req_to_token,
    cache_seqlens,
    cu_seqlens_k,
    dsa_cache_seqlens,
    dsa_cu_seqlens_k,
    page_table,
    real_page_table,
    schedule,
    plan,
    limits,
    req_to_token_stride,
    page_table_stride,
    real_page_table_stride,
    max_cols,
    dsa_index_topk,
    HAS_PAGE_TABLE: tl.constexpr,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    NUM_SMS: tl.constexpr,
    REMAINDER: tl.constexpr,
    NUM_LIMITS: tl.constexpr,
):
    # Row 0 writes lengths, sums and both plans, row 1 + r request r's page tables.
    bs = tl.num_programs(1) - 1
    row = tl.program_id(1) - 1
    if row >= 0:
        req = tl.load(req_pool_indices + row).to(tl.int64)
        source = req_to_token + req * req_to_token_stride
        out = page_table + row.to(tl.int64) * page_table_stride
        if ALIGNED:
            source = tl.multiple_of(source, 16)
            out = tl.multiple_of(out, 16)
        real_out = real_page_table + row.to(tl.int64) * real_page_table_stride
        # As far as the release itself writes a row.
        end = tl.minimum(tl.load(seq_lens + row).to(tl.int32), max_cols)
        # With masks in steps of 4, an access is 16 bytes wide.
        wide: tl.constexpr = 4 if ALIGNED else 1
        step = tl.num_programs(0) * BLOCK_COLS
        for tile in range(tl.program_id(0) * BLOCK_COLS, end, step):
            if HAS_PAGE_TABLE:
                cols = tile + tl.arange(0, BLOCK_COLS)
                mask = cols < tl.cdiv(end, wide) * wide
                tl.store(out + cols, tl.load(source + cols, mask=mask), mask=mask)
            if PAGE_SIZE > 1:
                heads = tile + PAGE_SIZE * tl.arange(0, BLOCK_COLS // PAGE_SIZE)
                real = tl.load(source + heads, mask=heads < end) // PAGE_SIZE
                tl.store(real_out + heads // PAGE_SIZE, real, mask=heads < end)
    else:
        if NUM_SMS > 0:
            _schedule_kernel(seq_lens, bs, schedule, NUM_SMS, REMAINDER)
        # In a program that has nothing of the schedule, where there are enough.
        if NUM_LIMITS > 0 and tl.program_id(0) == tl.maximum(tl.num_programs(0) - 2, 0):
            _topk_plan_kernel(seq_lens, bs, plan, limits, NUM_LIMITS)
        if tl.program_id(0) == tl.num_programs(0) - 1:
            k_sum = 0
            dsa_sum = 0
            for start in range(0, bs, 128):
                i = start + tl.arange(0, 128)
                kv_len = tl.load(seq_lens + i, mask=i < bs, other=0).to(tl.int32)
                dsa_len = tl.minimum(kv_len, dsa_index_topk)
                k_end = k_sum + tl.cumsum(kv_len, 0)
                dsa_end = dsa_sum + tl.cumsum(dsa_len, 0)
                k_sum += tl.sum(kv_len, 0)
                dsa_sum += tl.sum(dsa_len, 0)
                tl.store(cache_seqlens + i, kv_len, mask=i < bs)
                tl.store(cu_seqlens_k + 1 + i, k_end, mask=i < bs)
                tl.store(dsa_cache_seqlens + i, dsa_len, mask=i < bs)
                tl.store(dsa_cu_seqlens_k + 1 + i, dsa_end, mask=i < bs)


def _launched(launch: Callable, *args) -> bool:
    """Launch it, if that is possible; tried no more once it was not."""
    global _is_broken
    try:
        if not _is_broken:
            launch(*args)
    except Exception as e:
        _is_broken = True
        logger.warning(f"NSA metadata kernel does not work and is not used: {e!r}")
    return not _is_broken


def find_remainder(
    get_schedule: Callable, num_sms: int, device: torch.device
) -> Optional[str]:
    """Which SMs DeepGEMM gives the segments that are left over; None if it is neither.

    Its versions differ: "first" up to 0.1.2, "last" from 0.1.4 on.
    """
    rows = torch.arange(1, 33, dtype=torch.int32, device=device)
    batches = (rows * 4999, rows[:1] * 163840, rows[:9] * rows[:9] % 5 * 256 + 1)
    found = torch.empty(num_sms + 1, 2, dtype=torch.int32, device=device)
    for remainder in ("first", "last"):
        if all(
            _launched(
                _schedule_kernel[(5,)], lens, len(lens), found, num_sms, remainder
            )
            and torch.equal(found, get_schedule(lens.view(-1, 1), 64, num_sms))
            for lens in batches
        ):
            return remainder
    return None


def find_limits(get_plan: Callable, device: torch.device) -> Optional[torch.Tensor]:
    """Top-k's plan in numbers: thresholds, and how many rows may exceed each, [16, 2] int32.

    They are tuned for a GPU, and releases differ; so its planner is asked, with ever more
    long rows. None if there is no planner, or if it does not plan by such numbers.
    """
    rows = torch.arange(512, device=device)

    def ask(count: int) -> Optional[int]:
        plan = get_plan(torch.where(rows < count, 2**30, 1).to(torch.int32))
        return None if plan is None else int(plan[0, 0])

    if ask(1) is None:
        return None
    most: Dict[int, int] = {}
    count = 1
    while count <= len(rows):
        threshold = ask(count)
        # More rows never lower it.
        count = bisect_right(range(len(rows) + 1), threshold, lo=count + 1, key=ask)
        most[threshold] = count - 1
    most[threshold] = 2**31 - 1  # The last may be exceeded by any number.
    numbers = [*most.items(), *[(threshold, 2**31 - 1)] * 16]
    limits = torch.tensor(numbers[:16], dtype=torch.int32, device=device)

    plan = torch.empty(len(rows) + 1, 2, dtype=torch.int32, device=device)
    for threshold, count in most.items():
        # As many rows over it as it allows, all others at it.
        lens = threshold + (rows * 37 % len(rows) < min(count, 300)).to(torch.int32)
        theirs = get_plan(lens)
        items = theirs[1 : 1 + max(0, int(theirs[0, 1]))]
        if not (
            _launched(_topk_plan_kernel[(1,)], lens, len(lens), plan, limits, 16)
            and torch.equal(plan[0], theirs[0])
            and torch.equal(plan[1 : 1 + len(items)], items[items[:, 0].argsort()])
        ):
            return None
    return limits


def fill_draft_metadata(
    metadata,
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    dsa_index_topk: int,
    remainder: Optional[str],
    limits: Optional[torch.Tensor],
) -> bool:
    """Rewrite a batch's metadata in one launch; False once that is known not to work.

    seq_lens and req_pool_indices are [>= bs] int32 or int64 and contiguous. The schedule
    is written if it is known which SMs get the remainder, top-k's plan if its limits are.
    """
    m = metadata
    bs = m.cache_seqlens_int32.shape[0]
    has_page_table = m.page_table_1 is not None
    tables = (
        m.page_table_1 if has_page_table else m.real_page_table,
        m.real_page_table,
    )
    strides = [t.stride(0) for t in (req_to_token, *tables)]
    aligned = all(
        (t.data_ptr() | 4 * t.stride(0)) % 16 == 0 for t in (req_to_token, tables[0])
    )
    cols = (tables[0] if has_page_table else req_to_token).shape[1]
    # Measured on an H200.
    tile, programs = (512, 528 // bs) if bs <= 32 else (2048, 80)
    if not has_page_table:
        tile, programs = 128 * m.page_size, 66
    grid = (max(1, min(programs, -(-cols // tile))), bs + 1, 1)
    schedule, plan = m.paged_mqa_schedule_metadata, m.topk_v2_plan
    num_sms = 0 if remainder is None else schedule.shape[0] - 1
    num_limits = 0 if limits is None else len(limits)
    inputs = (seq_lens, req_pool_indices)
    buffers = (
        *(req_to_token, m.cache_seqlens_int32, m.cu_seqlens_k),
        *(m.dsa_cache_seqlens_int32, m.dsa_cu_seqlens_k, *tables),
        schedule if num_sms else tables[1],
        *((plan, limits) if num_limits else (tables[1], tables[1])),
    )
    sizes = (has_page_table, aligned and has_page_table, m.page_size, tile)
    numbers = (
        *(*strides, cols, dsa_index_topk, *sizes),
        *(num_sms, remainder, num_limits),
    )

    def run():
        _draft_metadata_kernel[grid](*inputs, *buffers, *numbers)

    return _launched(run)
