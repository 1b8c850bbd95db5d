from typing import Optional

import torch
import triton
import triton.language as tl
from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _store_decode_seqlens,
    _store_pages,
)


@triton.jit(do_not_specialize=["bs"])
def _decode_metadata_in_graph_kernel(
    seq_lens,
    req_pool_indices,
    req_to_token,
    req_to_token_stride,
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
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_SEQS: tl.constexpr,
):
    # The host is not there to say how long the batch is.
    max_seqlen_k = 0
    for start in range(0, bs, BLOCK_SEQS):
        i = start + tl.arange(0, BLOCK_SEQS)
        kv_len = tl.load(seq_lens + i, mask=i < bs, other=0).to(tl.int32)
        max_seqlen_k = tl.maximum(max_seqlen_k, tl.max(kv_len, 0))

    # A fixed grid walks the live tiles: a graph cannot change its grid.
    tiles = tl.cdiv(max_seqlen_k, BLOCK_COLS)
    for index in range(tl.program_id(0), bs * tiles, tl.num_programs(0)):
        row = index // tiles
        cols = (index % tiles) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
        mask = cols < max_seqlen_k
        req = tl.load(req_pool_indices + row).to(tl.int64)
        pages = tl.load(req_to_token + req * req_to_token_stride + cols, mask=mask)
        _store_pages(
            pages,
            row,
            cols,
            mask,
            page_table,
            page_table_stride,
            real_page_table,
            real_page_table_stride,
            PAGE_SIZE,
        )

    # The last program has the fewest tiles.
    if tl.program_id(0) == tl.num_programs(0) - 1:
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
    if seq_lens.is_cuda:
        properties = torch.cuda.get_device_properties(seq_lens.device)
        programs = 4 * properties.multi_processor_count
    else:
        programs = 4
    _decode_metadata_in_graph_kernel[(programs,)](
        seq_lens,
        req_pool_indices,
        req_to_token,
        req_to_token.stride(0),
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
        PAGE_SIZE=real_page_size,
        BLOCK_COLS=1024 if bs <= 64 else 2048,
        BLOCK_SEQS=min(1024, triton.next_power_of_2(bs)),
        num_warps=4 if bs <= 64 else 8,
    )
