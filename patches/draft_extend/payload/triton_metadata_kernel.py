from types import SimpleNamespace
from typing import Optional, Tuple

import torch

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    fill_metadata_inplace,
)


def fill_draft_extend_metadata_inplace(
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    nsa_index_topk: int,
    out_seqlens_expanded: torch.Tensor,
    out_nsa_cache_seqlens: torch.Tensor,
) -> bool:
    """Write the KV length of every accepted token in one launch, without a sync.

    Args:
        extend_seq_lens: [bs] int32 or int64, tokens accepted for each request.
        seq_lens: [bs] int32 or int64, their KV lengths, those tokens included.
        out_seqlens_expanded, out_nsa_cache_seqlens: [>= sum(extend_seq_lens)] int32;
            what lies past the sum is not touched.
    """
    bs = seq_lens.shape[0]
    # The rest of what the kernel writes, which nobody asked for.
    rest = out_seqlens_expanded.new_empty((3, out_seqlens_expanded.shape[0] + bs + 1))
    metadata = SimpleNamespace(
        cache_seqlens_int32=rest[0],
        cu_seqlens_k=rest[1],
        nsa_seqlens_expanded=out_seqlens_expanded,
        nsa_cache_seqlens_int32=out_nsa_cache_seqlens,
        nsa_cu_seqlens_k=rest[2],
        page_table_1=rest,
        real_page_table=rest,
        page_size=1,
    )
    # No columns, so that nothing is looked up.
    return fill_metadata_inplace(
        metadata,
        bs,
        seq_lens,
        seq_lens,
        rest,
        nsa_index_topk,
        extend_seq_lens=extend_seq_lens,
        max_cols=0,
    )


def fill_draft_extend_metadata_fused_simple(
    extend_seq_lens: torch.Tensor, seq_lens: torch.Tensor, nsa_index_topk: int
) -> Optional[Tuple[torch.Tensor, torch.Tensor]]:
    """`fill_draft_extend_metadata_inplace` into new tensors of the exact size.

    That size has to come to the host: one synchronization.
    """
    expanded = int(extend_seq_lens.sum().item())
    out = torch.empty((2, expanded), dtype=torch.int32, device=seq_lens.device)
    done = fill_draft_extend_metadata_inplace(
        extend_seq_lens, seq_lens, nsa_index_topk, *out
    )
    return (out[0], out[1]) if done else None
