from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NSAMetadata,
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

    def init_forward_metadata_replay_cuda_graph_from_precomputed(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        forward_mode: ForwardMode,
    ):
        if forward_mode.is_decode_or_idle() and self._copy_decode_metadata_fused(
            bs, precomputed
        ):
            return


class FusedDecode(NativeSparseAttnBackend):
    def _precompute_decode_mode_fused(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
    ) -> Optional[PrecomputedMetadata]:
        """`_precompute_decode_mode` and all that follows it in one launch, or None."""
        max_len = max(seq_lens_cpu.tolist())
        # Two allocations, not six: each costs the host as much as a small launch.
        seqlens = torch.empty((4, bs + 1), dtype=torch.int32, device=self.device)
        cache_seqlens, nsa_cache_seqlens, cu_seqlens_k, nsa_cu_seqlens_k = seqlens
        cache_seqlens, nsa_cache_seqlens = cache_seqlens[:bs], nsa_cache_seqlens[:bs]
        # Rows in multiples of 4 columns start on 16 bytes.
        real_len = -(-max_len // self.real_page_size) if self.real_page_size > 1 else 0
        row_len = -(-(max_len + real_len) // 4) * 4
        pages = torch.empty((bs, row_len), dtype=torch.int32, device=self.device)
        page_indices = pages[:, :max_len]
        real_page_table = pages[:, max_len : max_len + real_len] if real_len else None

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

    def _copy_decode_metadata_fused(
        self, bs: int, precomputed: PrecomputedMetadata
    ) -> bool:
        """Copy precomputed decode metadata in one launch, if that is possible.

        To the kernel the precomputed page table is a pool of as many requests.
        """
        metadata: NSAMetadata = self.decode_cuda_graph_metadata[bs]
        if not run_fused_metadata(
            "precompute_decode_metadata",
            seq_lens=precomputed.cache_seqlens,
            req_pool_indices=self._arange_buf,
            req_to_token=precomputed.page_indices,
            cache_seqlens=metadata.cache_seqlens_int32,
            cu_seqlens_k=metadata.cu_seqlens_k,
            page_indices=metadata.page_table_1,
            nsa_cache_seqlens=metadata.nsa_cache_seqlens_int32,
            nsa_cu_seqlens_k=metadata.nsa_cu_seqlens_k,
            real_page_table=(
                metadata.real_page_table if self.real_page_size > 1 else None
            ),
            max_len=precomputed.page_indices.shape[1],
            nsa_index_topk=self.nsa_index_topk,
            real_page_size=self.real_page_size,
        ):
            return False

        self.set_nsa_prefill_impl(forward_batch=None)
        assert self.real_page_size == metadata.page_size
        if precomputed.flashmla_metadata is not None:
            metadata.flashmla_metadata.slice(slice(0, bs + 1)).copy_(
                precomputed.flashmla_metadata
            )
        self.forward_metadata = metadata
        return True
