from typing import Optional, Tuple

import torch
import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _ANY_VALUE,
    _BLOCK_COLS,
    _is_aligned,
    _launch,
    _load_pages,
    _page_grid,
    _store_pages,
)

# Query tokens that one program expands at a time.
_BLOCK_TOKENS = 256


@triton.jit
def _load_extend_ends(
    extend_seq_lens, extend_seq_lens_stride, bs, BLOCK_BS: tl.constexpr
):
    i = tl.arange(0, BLOCK_BS)
    extend_len = tl.load(
        extend_seq_lens + i * extend_seq_lens_stride, mask=i < bs, other=0
    )
    return tl.cumsum(extend_len.to(tl.int32), 0)


@triton.jit
def _expand_draft_tokens(
    token,
    mask,
    ends,
    seq_lens,
    seq_lens_stride,
    BLOCK_BS: tl.constexpr,
    LOG2_BS: tl.constexpr,
):
    """KV length of each query token: its request's tokens end at the sequence length."""
    # Lower bound: the first request that ends after the token.
    req = tl.zeros_like(token)
    for bit in tl.static_range(LOG2_BS):
        probe = tl.gather(ends, req + ((BLOCK_BS >> (bit + 1)) - 1), 0)
        req = tl.where(probe <= token, req + (BLOCK_BS >> (bit + 1)), req)
    end = tl.gather(ends, req, 0)
    kv_len = tl.load(seq_lens + req * seq_lens_stride, mask=mask, other=0)
    return kv_len.to(tl.int32) - (end - token) + 1


@triton.jit(do_not_specialize=_ANY_VALUE)
def _draft_extend_seqlens_kernel(
    extend_seq_lens,
    extend_seq_lens_stride,
    seq_lens,
    seq_lens_stride,
    bs,
    nsa_index_topk,
    seqlens_expanded,
    nsa_cache_seqlens,
    BLOCK_BS: tl.constexpr,
    LOG2_BS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
):
    ends = _load_extend_ends(extend_seq_lens, extend_seq_lens_stride, bs, BLOCK_BS)
    token = tl.program_id(0) * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    mask = token < tl.max(ends, 0)
    kv_len = _expand_draft_tokens(
        token, mask, ends, seq_lens, seq_lens_stride, BLOCK_BS, LOG2_BS
    )
    tl.store(seqlens_expanded + token, kv_len, mask=mask)
    tl.store(nsa_cache_seqlens + token, tl.minimum(kv_len, nsa_index_topk), mask=mask)


@triton.jit(do_not_specialize=_ANY_VALUE)
def _draft_extend_metadata_kernel(
    extend_seq_lens,
    extend_seq_lens_stride,
    seq_lens,
    seq_lens_stride,
    req_pool_indices,
    req_pool_indices_stride,
    req_to_token,
    req_to_token_stride,
    bs,
    max_seqlen_k,
    nsa_index_topk,
    cache_seqlens,
    cu_seqlens_k,
    seqlens_expanded,
    nsa_cache_seqlens,
    nsa_cu_seqlens_k,
    page_table,
    page_table_stride,
    real_page_table,
    real_page_table_stride,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_BS: tl.constexpr,
    LOG2_BS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
):
    tile = tl.program_id(0)
    row = tl.program_id(1)
    if row < bs:
        start = tile * BLOCK_COLS
        pages = _load_pages(
            req_pool_indices,
            req_pool_indices_stride,
            req_to_token,
            req_to_token_stride,
            row,
            start,
            max_seqlen_k,
            ALIGNED,
            BLOCK_COLS,
        )
        i = tl.arange(0, BLOCK_BS)
        extend_len = tl.load(
            extend_seq_lens + i * extend_seq_lens_stride, mask=i <= row, other=0
        ).to(tl.int32)
        tokens = tl.sum(tl.where(i == row, extend_len, 0), 0)
        begin = tl.sum(extend_len, 0) - tokens
        for token in range(0, tokens):
            _store_pages(
                pages,
                begin + token,
                start,
                max_seqlen_k,
                page_table,
                page_table_stride,
                real_page_table,
                real_page_table_stride,
                ALIGNED,
                PAGE_SIZE,
                BLOCK_COLS,
            )
    elif tile == 0:
        if row == bs:
            i = tl.arange(0, BLOCK_BS)
            mask = i < bs
            kv_len = tl.load(seq_lens + i * seq_lens_stride, mask=mask, other=0)
            kv_len = kv_len.to(tl.int32)
            tl.store(cache_seqlens + i, kv_len, mask=mask)
            tl.store(cu_seqlens_k + 1 + i, tl.cumsum(kv_len, 0), mask=mask)
        else:
            ends = _load_extend_ends(
                extend_seq_lens, extend_seq_lens_stride, bs, BLOCK_BS
            )
            expanded = tl.max(ends, 0)
            nsa_sum = 0
            for start in range(0, expanded, BLOCK_TOKENS):
                token = start + tl.arange(0, BLOCK_TOKENS)
                mask = token < expanded
                kv_len = _expand_draft_tokens(
                    token, mask, ends, seq_lens, seq_lens_stride, BLOCK_BS, LOG2_BS
                )
                nsa_len = tl.where(mask, tl.minimum(kv_len, nsa_index_topk), 0)
                tl.store(seqlens_expanded + token, kv_len, mask=mask)
                tl.store(nsa_cache_seqlens + token, nsa_len, mask=mask)
                tl.store(
                    nsa_cu_seqlens_k + 1 + token,
                    nsa_sum + tl.cumsum(nsa_len, 0),
                    mask=mask,
                )
                nsa_sum += tl.sum(nsa_len, 0)


def _block_bs(bs: int):
    log2_bs = max(4, (bs - 1).bit_length())
    return 1 << log2_bs, log2_bs


def fill_draft_extend_metadata_inplace(
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    nsa_index_topk: int,
    out_seqlens_expanded: torch.Tensor,
    out_nsa_cache_seqlens: torch.Tensor,
) -> None:
    """Write the KV length of every accepted draft token in one launch, with no sync.

    Args:
        extend_seq_lens: [bs] int32 or int64, tokens accepted for each request.
        seq_lens: [bs] int32 or int64, their KV lengths, those tokens included.
        out_seqlens_expanded, out_nsa_cache_seqlens: [>= sum(extend_seq_lens)] int32;
            what lies past the sum is not touched.
    """
    bs = extend_seq_lens.shape[0]
    capacity = out_seqlens_expanded.shape[0]
    _launch(
        _draft_extend_seqlens_kernel,
        (max(1, -(-capacity // _BLOCK_TOKENS)), 1, 1),
        (extend_seq_lens, seq_lens),
        (
            bs,
            nsa_index_topk,
            out_seqlens_expanded,
            out_nsa_cache_seqlens,
        ),
        (
            *_block_bs(bs),
            _BLOCK_TOKENS,
        ),
    )


def fill_draft_extend_metadata_fused_simple(
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    nsa_index_topk: int,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """`fill_draft_extend_metadata_inplace` into new tensors of the exact size.

    That size has to come to the host: one synchronization.
    """
    expanded = int(extend_seq_lens.sum().item())
    out_seqlens_expanded, out_nsa_cache_seqlens = (
        torch.empty(expanded, dtype=torch.int32, device=seq_lens.device)
        for _ in range(2)
    )
    fill_draft_extend_metadata_inplace(
        extend_seq_lens,
        seq_lens,
        nsa_index_topk,
        out_seqlens_expanded,
        out_nsa_cache_seqlens,
    )
    return out_seqlens_expanded, out_nsa_cache_seqlens


def fill_draft_extend_replay_metadata_inplace(
    bs: int,
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    seqlens_expanded: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    page_table: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    max_seqlen_k: int,
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a draft_extend batch's metadata into its buffers in one launch, no sync.

    Args:
        extend_seq_lens, seq_lens, req_pool_indices: [>= bs] int32 or int64, any stride.
        cache_seqlens: [bs], cu_seqlens_k: [bs + 1], int32.
        seqlens_expanded, nsa_cache_seqlens: [>= sum(extend_seq_lens)] int32.
        nsa_cu_seqlens_k: one longer. Leading zeros are not written.
        page_table: [>= sum(extend_seq_lens), >= max_seqlen_k] int32.
        real_page_table: likewise, ceil(max_seqlen_k / real_page_size) columns; None
            with page size 1.
    """
    if real_page_table is None:
        real_page_table = page_table
    _launch(
        _draft_extend_metadata_kernel,
        _page_grid(bs + 2, max_seqlen_k),
        (extend_seq_lens, seq_lens, req_pool_indices),
        (
            req_to_token,
            req_to_token.stride(0),
            bs,
            max_seqlen_k,
            nsa_index_topk,
            cache_seqlens,
            cu_seqlens_k,
            seqlens_expanded,
            nsa_cache_seqlens,
            nsa_cu_seqlens_k,
            page_table,
            page_table.stride(0),
            real_page_table,
            real_page_table.stride(0),
        ),
        (
            _is_aligned(req_to_token, page_table),
            real_page_size,
            _BLOCK_COLS,
            *_block_bs(bs),
            _BLOCK_TOKENS,
        ),
    )
