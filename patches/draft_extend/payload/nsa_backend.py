from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NSAMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput


class FusedDraftExtendDispatch(NativeSparseAttnBackend):
    def init_forward_metadata_replay_cuda_graph(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_sum: int,
        encoder_lens: Optional[torch.Tensor],
        forward_mode: ForwardMode,
        spec_info: Optional[SpecInput],
        seq_lens_cpu: Optional[torch.Tensor],
        out_cache_loc: Optional[torch.Tensor] = None,
    ):
        if forward_mode.is_draft_extend() and self._replay_draft_extend_metadata_fused(
            bs, req_pool_indices, seq_lens, seq_lens_cpu, spec_info.accept_length
        ):
            return


class FusedDraftExtend(NativeSparseAttnBackend):
    def _replay_draft_extend_metadata_fused(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
        extend_seq_lens: torch.Tensor,
    ) -> bool:
        """Rewrite the draft_extend metadata of `bs` in one launch, if that is possible."""
        metadata: NSAMetadata = self.decode_cuda_graph_metadata[bs]
        if not run_fused_metadata(
            "fill_draft_extend_replay_metadata_inplace",
            bs=bs,
            extend_seq_lens=extend_seq_lens,
            seq_lens=seq_lens,
            req_pool_indices=req_pool_indices,
            req_to_token=self.req_to_token,
            cache_seqlens=metadata.cache_seqlens_int32,
            cu_seqlens_k=metadata.cu_seqlens_k,
            seqlens_expanded=metadata.nsa_seqlens_expanded,
            nsa_cache_seqlens=metadata.nsa_cache_seqlens_int32,
            nsa_cu_seqlens_k=metadata.nsa_cu_seqlens_k,
            page_table=metadata.page_table_1,
            real_page_table=(
                metadata.real_page_table if self.real_page_size > 1 else None
            ),
            max_seqlen_k=max(seq_lens_cpu.tolist()[:bs]),
            nsa_index_topk=self.nsa_index_topk,
            real_page_size=self.real_page_size,
        ):
            return False

        self.set_nsa_prefill_impl(forward_batch=None)
        assert self.real_page_size == metadata.page_size
        if self.nsa_decode_impl == "flashmla_kv":
            # FlashMLA plans for a batch of this size, so the host has to know it.
            expanded = int(extend_seq_lens[:bs].sum().item())
            metadata.flashmla_metadata.slice(slice(0, expanded + 1)).copy_(
                self._compute_flashmla_metadata(
                    cache_seqlens=metadata.nsa_cache_seqlens_int32[:expanded],
                    seq_len_q=1,
                )
            )

        self.forward_metadata = metadata
        return True
