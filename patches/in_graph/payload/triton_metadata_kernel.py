from typing import Optional

import torch

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _launch_decode_metadata,
)


def fill_decode_metadata_in_graph(
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    page_table: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a decode batch's metadata from inputs that only the device knows.

    To be captured: one launch whose grid does not depend on the lengths. Writes what
    `precompute_decode_metadata` writes, with max_len = max(seq_lens).

    Args:
        seq_lens, req_pool_indices: [bs] int32 or int64: the graph's static inputs.
    """
    _launch_decode_metadata(
        seq_lens,
        req_pool_indices,
        req_to_token,
        cache_seqlens,
        cu_seqlens_k,
        page_table,
        nsa_cache_seqlens,
        nsa_cu_seqlens_k,
        real_page_table,
        None,
        nsa_index_topk,
        real_page_size,
    )
