from typing import Optional

import torch

from sglang.srt.layers.attention.nsa.cuda_metadata_kernel import (
    precompute_decode_metadata_cuda,
)


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
    if not draft_tokens and extend_seq_lens is None:
        pages = metadata.page_table_1
        if precompute_decode_metadata_cuda(
            seq_lens,
            req_pool_indices,
            req_to_token,
            metadata.cache_seqlens_int32,
            metadata.cu_seqlens_k,
            pages,
            metadata.nsa_cache_seqlens_int32,
            metadata.nsa_cu_seqlens_k,
            metadata.real_page_table,
            pages.shape[1] if max_cols is None else max_cols,
            nsa_index_topk,
            metadata.page_size,
            leading_zero=False,
        ):
            return True
