from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    PrecomputedMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput


class FusedDecodeDispatch(NativeSparseAttnBackend):
    def _precompute_replay_metadata(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
        forward_mode: ForwardMode,
        spec_info: Optional[SpecInput],
    ) -> PrecomputedMetadata:
        if forward_mode.is_decode_or_idle():
            precomputed = self._precompute_decode_mode_fused(
                bs, req_pool_indices[:bs], seq_lens[:bs], seq_lens_cpu[:bs]
            )
            if precomputed is not None:
                return precomputed


class FusedDecode(NativeSparseAttnBackend):
    def _precompute_decode_mode_fused(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
    ) -> Optional[PrecomputedMetadata]:
        """`_precompute_decode_mode` and all that follows it in one launch, or None."""
        max_len = int(seq_lens_cpu.max().item())
        # Padded rows keep every row aligned, and the kernel one compilation.
        padded_len = -(-max_len // 1024) * 1024

        def empty(*size: int) -> torch.Tensor:
            return torch.empty(size, dtype=torch.int32, device=self.device)

        cache_seqlens, nsa_cache_seqlens = empty(bs), empty(bs)
        cu_seqlens_k, nsa_cu_seqlens_k = empty(bs + 1), empty(bs + 1)
        page_indices = empty(bs, padded_len)[:, :max_len]
        real_page_table = None
        if self.real_page_size > 1:
            real_len = -(-max_len // self.real_page_size)
            real_page_table = empty(bs, padded_len)[:, :real_len]

        if not run_fused_metadata(
            "precompute_decode_metadata",
            seq_lens=seq_lens,
            req_pool_indices=req_pool_indices,
            req_to_token=self.req_to_token,
            cache_seqlens=cache_seqlens,
            cu_seqlens_k=cu_seqlens_k,
            page_indices=page_indices,
            nsa_cache_seqlens=nsa_cache_seqlens,
            nsa_cu_seqlens_k=nsa_cu_seqlens_k,
            real_page_table=real_page_table,
            max_len=max_len,
            nsa_index_topk=self.nsa_index_topk,
            real_page_size=self.real_page_size,
        ):
            return None

        return PrecomputedMetadata(
            cache_seqlens=cache_seqlens,
            cu_seqlens_k=cu_seqlens_k[1:],
            page_indices=page_indices,
            real_page_table=real_page_table,
            seqlens_expanded=cache_seqlens,
            nsa_cache_seqlens=nsa_cache_seqlens,
            nsa_cu_seqlens_k=nsa_cu_seqlens_k[1:],
            flashmla_metadata=(
                self._compute_flashmla_metadata(
                    cache_seqlens=nsa_cache_seqlens, seq_len_q=1
                )
                if self.nsa_decode_impl == "flashmla_kv"
                else None
            ),
            seqlens_expanded_size=bs,
        )
