"""One Triton kernel that writes NSA replay metadata straight into its buffers."""

import logging
from typing import Optional

import torch
import triton
import triton.language as tl

logger = logging.getLogger(__name__)

_is_broken = False


# Compiled for types and constexprs, never for values: no batch starts a compiler.
@triton.jit(do_not_specialize=list(range(16)))
def _metadata_kernel(
    seq_lens,
    req_pool_indices,
    extend_seq_lens,
    req_to_token,
    cache_seqlens,
    cu_seqlens_k,
    seqlens_expanded,
    nsa_cache_seqlens,
    nsa_cu_seqlens_k,
    page_table,
    real_page_table,
    req_to_token_stride,
    page_table_stride,
    real_page_table_stride,
    max_cols,
    nsa_index_topk,
    DRAFT_TOKENS: tl.constexpr,
    EXTEND: tl.constexpr,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    MAX_SEQS: tl.constexpr,
):
    # Row 0 writes lengths and sums, row 1 + r what request r has in the page tables.
    bs = tl.num_programs(1) - 1
    row = tl.program_id(1) - 1
    chunk: tl.constexpr = 32 if MAX_SEQS <= 512 else 128
    seqs = tl.arange(0, chunk)
    most: tl.constexpr = DRAFT_TOKENS if DRAFT_TOKENS > 0 else 1
    if row >= 0:
        req = tl.load(req_pool_indices + row).to(tl.int64)
        source = req_to_token + req * req_to_token_stride
        # With masks in steps of 4, an access is 16 bytes wide.
        wide: tl.constexpr = 4 if ALIGNED else 1
        if ALIGNED:
            source = tl.multiple_of(source, 16)
        # Few rows: a program's first tile comes before it is known to be wanted.
        step = tl.num_programs(0) * BLOCK_COLS
        early = step if MAX_SEQS == 32 else 0
        ahead = tl.program_id(0) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
        there = tl.minimum(tl.minimum(max_cols, req_to_token_stride), early)
        first = tl.load(source + ahead, mask=ahead < tl.cdiv(there, wide) * wide)

        # In a graph the host cannot tell the longest sequence, nor where rows begin.
        longest = tl.zeros_like(seqs)
        before = tl.zeros_like(seqs)
        for i in tl.static_range(0, MAX_SEQS, chunk):
            seq_len = tl.load(seq_lens + i + seqs, mask=i + seqs < bs, other=0)
            longest = tl.maximum(longest, seq_len.to(tl.int32))
            if EXTEND:
                extend_len = tl.load(extend_seq_lens + i + seqs, i + seqs < row, 0)
                before += extend_len.to(tl.int32)
        end = tl.minimum(tl.max(longest, 0) + DRAFT_TOKENS, max_cols)
        whole = end // wide * wide
        readable = tl.cdiv(end, wide) * wide
        out_row = row.to(tl.int64) * most
        tokens = most
        if EXTEND:
            out_row = tl.sum(before, 0).to(tl.int64)
            tokens = tl.load(extend_seq_lens + row).to(tl.int32)

        for tile in range(tl.program_id(0) * BLOCK_COLS, end, step):
            cols = tile + tl.arange(0, BLOCK_COLS)
            pages = first
            if tile >= early:
                pages = tl.load(source + cols, mask=cols < readable)
            if PAGE_SIZE > 1:
                heads = tile + PAGE_SIZE * tl.arange(0, BLOCK_COLS // PAGE_SIZE)
                real = tl.load(source + heads, mask=heads < end)
                # // truncates here and floors in PyTorch.
                real = real // PAGE_SIZE - tl.where(real % PAGE_SIZE < 0, 1, 0)
            for token in range(0, tokens):
                out = page_table + (out_row + token) * page_table_stride
                if ALIGNED:
                    out = tl.multiple_of(out, 16)
                tl.store(out + cols, pages, mask=cols < whole)
                if tile + BLOCK_COLS > whole:
                    tl.store(out + cols, pages, mask=(cols >= whole) & (cols < end))
                if PAGE_SIZE > 1:
                    out = real_page_table + (out_row + token) * real_page_table_stride
                    tl.store(out + heads // PAGE_SIZE, real, mask=heads < end)
    elif tl.program_id(0) == 0:
        k_sum = 0
        nsa_sum = 0
        token_sum = 0
        for start in range(0, bs, chunk):
            i = start + seqs
            mask = i < bs
            kv_len = tl.load(seq_lens + i, mask=mask, other=0) + DRAFT_TOKENS
            kv_len = tl.where(mask, kv_len.to(tl.int32), 0)
            tl.store(cache_seqlens + i, kv_len, mask=mask)
            tl.store(cu_seqlens_k + 1 + i, k_sum + tl.cumsum(kv_len, 0), mask=mask)
            k_sum += tl.sum(kv_len, 0)

            # A request's query tokens end at its length; each sees one token more.
            tokens = tl.where(mask, most, 0)
            token = i * most
            steps = most
            if EXTEND:
                tokens = tl.load(extend_seq_lens + i, mask=mask, other=0).to(tl.int32)
                token = token_sum + tl.cumsum(tokens, 0) - tokens
                token_sum += tl.sum(tokens, 0)
                steps = tl.max(tokens, 0)
            first_len = kv_len - tokens + 1
            short = tl.minimum(tl.maximum(nsa_index_topk - first_len, 0), tokens)
            nsa_of_req = short * first_len + short * (short - 1) // 2
            nsa_of_req += (tokens - short) * nsa_index_topk
            nsa_end = nsa_sum + tl.cumsum(nsa_of_req, 0) - nsa_of_req
            nsa_sum += tl.sum(nsa_of_req, 0)
            for t in range(0, steps):
                nsa_len = tl.minimum(first_len + t, nsa_index_topk)
                nsa_end += nsa_len
                mask = t < tokens
                tl.store(seqlens_expanded + token + t, first_len + t, mask=mask)
                tl.store(nsa_cache_seqlens + token + t, nsa_len, mask=mask)
                tl.store(nsa_cu_seqlens_k + 1 + token + t, nsa_end, mask=mask)


def fill_metadata_inplace(
    metadata,
    bs: int,
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    nsa_index_topk: int,
    draft_tokens: int = 0,
    extend_seq_lens: Optional[torch.Tensor] = None,
    max_cols: Optional[int] = None,
) -> bool:
    """Rewrite a batch's metadata in one launch; False once that is known not to work.

    seq_lens, req_pool_indices and, in draft_extend, extend_seq_lens are [>= bs] int32 or
    int64 and contiguous; draft_tokens, in target_verify, come on top of seq_lens.
    Columns from max_cols on are not written.
    """
    global _is_broken
    if _is_broken:
        return False
    m = metadata
    tables = (req_to_token, m.page_table_1, m.real_page_table)
    strides = [t.stride(0) for t in tables]
    aligned = all((t.data_ptr() | 4 * t.stride(0)) % 16 == 0 for t in tables[:2])
    cols = tables[1].shape[1] if max_cols is None else max_cols
    # Measured on an H200.
    tile, programs = (512, 528 // bs) if bs <= 32 else (1024, 66)
    grid = (max(1, min(programs, -(-cols // tile))), bs + 1, 1)
    is_extend = extend_seq_lens is not None
    inputs = (seq_lens, req_pool_indices, extend_seq_lens if is_extend else seq_lens)
    buffers = (
        *(req_to_token, m.cache_seqlens_int32, m.cu_seqlens_k, m.nsa_seqlens_expanded),
        *(m.nsa_cache_seqlens_int32, m.nsa_cu_seqlens_k, *tables[1:]),
    )
    sizes = (m.page_size, tile, max(32, triton.next_power_of_2(bs)))
    numbers = (*strides, cols, nsa_index_topk, draft_tokens, is_extend, aligned, *sizes)
    try:
        _metadata_kernel[grid](*inputs, *buffers, *numbers)
    except Exception as e:
        _is_broken = True
        logger.warning(f"NSA metadata kernel does not work and is not used: {e!r}")
    return not _is_broken
