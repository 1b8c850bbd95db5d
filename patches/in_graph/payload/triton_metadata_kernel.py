from typing import Optional

import torch
import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _ANY_VALUE,
    _is_aligned,
    _launch,
    _row_of,
    _store_decode_seqlens,
    _store_pages,
)

_IN_GRAPH_BLOCK_COLS = 1024


@triton.jit(do_not_specialize=_ANY_VALUE)
def _decode_metadata_in_graph_kernel(
    seq_lens,
    req_pool_indices,
    req_to_token,
    req_to_token_stride,
    context_len,
    bs,
    nsa_index_topk,
    cache_seqlens,
    cu_seqlens_k,
    nsa_cache_seqlens,
    nsa_cu_seqlens_k,
    page_table,
    page_table_stride,
    real_page_table,
    real_page_table_stride,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_SEQS: tl.constexpr,
):
    row = tl.program_id(1)
    if row < bs:
        req = tl.load(req_pool_indices + row)
        pages_of_req = _row_of(req_to_token, req, req_to_token_stride, ALIGNED)
        begin = tl.program_id(0) * BLOCK_COLS
        step = tl.num_programs(0) * BLOCK_COLS
        cols = begin + tl.arange(0, BLOCK_COLS)
        # The first tile is on its way before it is known whether it is needed.
        pages = tl.load(pages_of_req + cols, mask=cols < context_len)

        # The host is not there to say how long the batch is.
        i = tl.arange(0, BLOCK_SEQS)
        kv_len = tl.load(seq_lens + i, mask=i < bs, other=0).to(tl.int32)
        max_seqlen_k = tl.max(kv_len, 0)

        # A graph cannot change its grid, so the programs of a row walk its live tiles.
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
            1,
            bs,
            nsa_index_topk,
            cache_seqlens,
            cu_seqlens_k,
            nsa_cache_seqlens,
            nsa_cu_seqlens_k,
            BLOCK_SEQS,
        )


def fill_decode_metadata_in_graph(
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    page_table: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a decode batch's metadata from inputs that only the device knows.

    To be captured: one launch whose grid does not depend on the lengths. Writes what
    `precompute_decode_metadata` writes, with max_len = max(seq_lens).

    Args:
        seq_lens, req_pool_indices: [bs] int32 or int64, contiguous: the graph's static
            inputs.
    """
    bs = seq_lens.shape[0]
    if real_page_table is None:
        real_page_table = page_table
    # Enough programs to fill the GPU with few rows, and 16 a row with many.
    programs_per_row = max(16, 512 // bs) if seq_lens.is_cuda else 1
    _launch(
        _decode_metadata_in_graph_kernel,
        (programs_per_row, bs + 1, 1),
        (
            seq_lens,
            req_pool_indices,
            req_to_token,
            req_to_token.stride(0),
            req_to_token.shape[1],
            bs,
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
            _is_aligned(req_to_token, page_table),
            real_page_size,
            _IN_GRAPH_BLOCK_COLS,
            1 << (bs - 1).bit_length(),
        ),
        num_warps=8,
    )
