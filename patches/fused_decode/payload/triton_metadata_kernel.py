from types import SimpleNamespace
from typing import Optional

import torch

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    fill_metadata_inplace,
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
) -> bool:
    """Write a decode batch's metadata in one launch, if that is possible.

    Args:
        seq_lens, req_pool_indices: [bs] int32 or int64.
        cache_seqlens, nsa_cache_seqlens: [bs] int32, written.
        cu_seqlens_k, nsa_cu_seqlens_k: [bs + 1] int32, written but for the leading zero.
        page_indices: [bs, >= max_len] int32, the first max_len columns are written.
        real_page_table: [bs, >= ceil(max_len / real_page_size)] int32, written likewise;
            None with page size 1.
    """
    metadata = SimpleNamespace(
        cache_seqlens_int32=cache_seqlens,
        cu_seqlens_k=cu_seqlens_k,
        nsa_seqlens_expanded=cache_seqlens,
        nsa_cache_seqlens_int32=nsa_cache_seqlens,
        nsa_cu_seqlens_k=nsa_cu_seqlens_k,
        page_table_1=page_indices,
        real_page_table=page_indices if real_page_table is None else real_page_table,
        page_size=real_page_size,
    )
    return fill_metadata_inplace(
        metadata,
        seq_lens.shape[0],
        seq_lens,
        req_pool_indices,
        req_to_token,
        nsa_index_topk,
        max_cols=max_len,
    )
