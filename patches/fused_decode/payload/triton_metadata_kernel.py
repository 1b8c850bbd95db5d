from typing import Optional

import torch
import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _ANY_VALUE,
    _is_aligned,
    _launch,
    _row_of,
    _store_pages,
)


@triton.jit
def _store_decode_seqlens(
    seq_lens,
    seq_lens_stride,
    bs,
    nsa_index_topk,
    cache_seqlens,
    cu_seqlens_k,
    nsa_cache_seqlens,
    nsa_cu_seqlens_k,
    BLOCK_SEQS: tl.constexpr,
):
    k_sum = 0
    nsa_sum = 0
    for start in range(0, bs, BLOCK_SEQS):
        i = start + tl.arange(0, BLOCK_SEQS)
        mask = i < bs
        kv_len = tl.load(seq_lens + i * seq_lens_stride, mask=mask, other=0)
        kv_len = kv_len.to(tl.int32)
        nsa_len = tl.minimum(kv_len, nsa_index_topk)
        tl.store(cache_seqlens + i, kv_len, mask=mask)
        tl.store(nsa_cache_seqlens + i, nsa_len, mask=mask)
        tl.store(cu_seqlens_k + 1 + i, k_sum + tl.cumsum(kv_len, 0), mask=mask)
        tl.store(nsa_cu_seqlens_k + 1 + i, nsa_sum + tl.cumsum(nsa_len, 0), mask=mask)
        k_sum += tl.sum(kv_len, 0)
        nsa_sum += tl.sum(nsa_len, 0)


@triton.jit(do_not_specialize=_ANY_VALUE)
def _decode_metadata_kernel(
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
    nsa_cache_seqlens,
    nsa_cu_seqlens_k,
    page_table,
    page_table_stride,
    real_page_table,
    real_page_table_stride,
    MAX_ON_DEVICE: tl.constexpr,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_SEQS: tl.constexpr,
):
    row = tl.program_id(1)
    if row < bs:
        req = tl.load(req_pool_indices + row * req_pool_indices_stride)
        pages_of_req = _row_of(req_to_token, req, req_to_token_stride, ALIGNED)
        if MAX_ON_DEVICE:
            # In a graph, where the host is not there to say how long the batch is.
            i = tl.arange(0, BLOCK_SEQS)
            kv_len = tl.load(seq_lens + i * seq_lens_stride, mask=i < bs, other=0)
            max_seqlen_k = tl.max(kv_len.to(tl.int32), 0)

        # The programs of a row share its tiles, and fetch one ahead.
        begin = tl.program_id(0) * BLOCK_COLS
        step = tl.num_programs(0) * BLOCK_COLS
        cols = begin + tl.arange(0, BLOCK_COLS)
        pages = tl.load(pages_of_req + cols, mask=cols < max_seqlen_k)
        for start in range(begin, max_seqlen_k, step):
            cols = start + step + tl.arange(0, BLOCK_COLS)
            next_pages = tl.load(pages_of_req + cols, mask=cols < max_seqlen_k)
            _store_pages(
                pages,
                row,
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
            pages = next_pages
    elif tl.program_id(0) == 0:
        _store_decode_seqlens(
            seq_lens,
            seq_lens_stride,
            bs,
            nsa_index_topk,
            cache_seqlens,
            cu_seqlens_k,
            nsa_cache_seqlens,
            nsa_cu_seqlens_k,
            BLOCK_SEQS,
        )


def _launch_decode_metadata(
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    page_table: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    max_seqlen_k: Optional[int],
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a decode batch's metadata; without max_seqlen_k, take it from seq_lens."""
    bs = seq_lens.shape[0]
    if real_page_table is None:
        real_page_table = page_table
    # Measured on an H200: what fills it for short rows, and what streams long ones.
    if not seq_lens.is_cuda:
        programs, block_cols, num_warps = 1, 2048, 4
    elif bs <= 64:
        programs, block_cols, num_warps = max(16, min(128, 512 // bs)), 512, 4
    else:
        programs, block_cols, num_warps = max(8, 2048 // bs), 1024, 8
    _launch(
        _decode_metadata_kernel,
        (programs, bs + 1, 1),
        (seq_lens, req_pool_indices),
        (
            req_to_token,
            req_to_token.stride(0),
            bs,
            max_seqlen_k or 0,
            nsa_index_topk,
            cache_seqlens,
            cu_seqlens_k,
            nsa_cache_seqlens,
            nsa_cu_seqlens_k,
            page_table,
            page_table.stride(0),
            real_page_table,
            real_page_table.stride(0),
        ),
        (
            max_seqlen_k is None,
            _is_aligned(req_to_token, page_table),
            real_page_size,
            block_cols,
            1 << (bs - 1).bit_length(),
        ),
        num_warps=num_warps,
    )


def precompute_decode_metadata(
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    page_indices: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    max_len: int,
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a decode batch's metadata in one launch.

    Args:
        seq_lens, req_pool_indices: [bs] int32 or int64, any stride.
        cache_seqlens, nsa_cache_seqlens: [bs] int32, written.
        cu_seqlens_k, nsa_cu_seqlens_k: [bs + 1] int32, written but for the leading zero.
        page_indices: [bs, >= max_len] int32, the first max_len columns are written.
        real_page_table: [bs, >= ceil(max_len / real_page_size)] int32, written likewise;
            None with page size 1.
    """
    _launch_decode_metadata(
        seq_lens,
        req_pool_indices,
        req_to_token,
        cache_seqlens,
        cu_seqlens_k,
        page_indices,
        nsa_cache_seqlens,
        nsa_cu_seqlens_k,
        real_page_table,
        max_len,
        nsa_index_topk,
        real_page_size,
    )
