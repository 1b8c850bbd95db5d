from typing import Optional

import torch
import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _ANY_VALUE,
    _BLOCK_COLS,
    _BLOCK_SEQS,
    _is_aligned,
    _launch,
    _load_pages,
    _page_grid,
    _store_pages,
)


@triton.jit(do_not_specialize=_ANY_VALUE)
def _target_verify_metadata_kernel(
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
    DRAFT_TOKENS: tl.constexpr,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_SEQS: tl.constexpr,
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
        # Read once, written once for each draft token.
        for token in tl.static_range(DRAFT_TOKENS):
            _store_pages(
                pages,
                row * DRAFT_TOKENS + token,
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
            k_sum = 0
            for start in range(0, bs, BLOCK_SEQS):
                i = start + tl.arange(0, BLOCK_SEQS)
                mask = i < bs
                seq_len = tl.load(seq_lens + i * seq_lens_stride, mask=mask, other=0)
                kv_len = (seq_len + DRAFT_TOKENS).to(tl.int32)
                kv_len = tl.where(mask, kv_len, 0)
                tl.store(cache_seqlens + i, kv_len, mask=mask)
                tl.store(cu_seqlens_k + 1 + i, k_sum + tl.cumsum(kv_len, 0), mask=mask)
                k_sum += tl.sum(kv_len, 0)
        else:
            nsa_sum = 0
            for start in range(0, bs * DRAFT_TOKENS, BLOCK_SEQS):
                i = start + tl.arange(0, BLOCK_SEQS)
                mask = i < bs * DRAFT_TOKENS
                seq_len = tl.load(
                    seq_lens + (i // DRAFT_TOKENS) * seq_lens_stride,
                    mask=mask,
                    other=0,
                )
                # Draft token t sees the sequence and the tokens 0..t.
                kv_len = (seq_len + 1 + i % DRAFT_TOKENS).to(tl.int32)
                nsa_len = tl.where(mask, tl.minimum(kv_len, nsa_index_topk), 0)
                tl.store(seqlens_expanded + i, kv_len, mask=mask)
                tl.store(nsa_cache_seqlens + i, nsa_len, mask=mask)
                tl.store(
                    nsa_cu_seqlens_k + 1 + i,
                    nsa_sum + tl.cumsum(nsa_len, 0),
                    mask=mask,
                )
                nsa_sum += tl.sum(nsa_len, 0)


def fill_target_verify_metadata_inplace(
    bs: int,
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
    draft_tokens: int,
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a target_verify batch's metadata into its buffers in one launch.

    Args:
        seq_lens, req_pool_indices: [>= bs] int32 or int64, any stride, without the draft
            tokens; max_seqlen_k counts them.
        cache_seqlens: [bs], cu_seqlens_k: [bs + 1], int32.
        seqlens_expanded, nsa_cache_seqlens: [bs * draft_tokens] int32.
        nsa_cu_seqlens_k: [bs * draft_tokens + 1] int32. Leading zeros are not written.
        page_table: [bs * draft_tokens, >= max_seqlen_k] int32.
        real_page_table: [bs * draft_tokens, >= ceil(max_seqlen_k / real_page_size)]
            int32; None with page size 1.
    """
    if real_page_table is None:
        real_page_table = page_table
    _launch(
        _target_verify_metadata_kernel,
        _page_grid(bs + 2, max_seqlen_k),
        (seq_lens, req_pool_indices),
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
            draft_tokens,
            _is_aligned(req_to_token, page_table),
            real_page_size,
            _BLOCK_COLS,
            _BLOCK_SEQS,
        ),
    )
