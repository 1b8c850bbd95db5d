from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa.utils import compute_nsa_seqlens
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NSAMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput


class FusedTargetVerifyDispatch(NativeSparseAttnBackend):
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
        if (
            forward_mode.is_target_verify()
            and envs.SGLANG_NSA_USE_TRITON_METADATA.get()
        ):
            self._replay_target_verify_metadata(
                bs, req_pool_indices, seq_lens, seq_lens_cpu
            )
            return


class FusedTargetVerify(NativeSparseAttnBackend):
    def _replay_target_verify_metadata(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
    ):
        """Rewrite the target_verify metadata of `bs`: in one launch, or vectorized."""
        self.set_nsa_prefill_impl(forward_batch=None)

        metadata: NSAMetadata = self.decode_cuda_graph_metadata[bs]
        assert self.real_page_size == metadata.page_size
        draft_tokens = self.speculative_num_draft_tokens
        max_seqlen_k = max(seq_lens_cpu.tolist()[:bs]) + draft_tokens

        if not run_fused_metadata(
            "fill_target_verify_metadata_inplace",
            bs=bs,
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
            max_seqlen_k=max_seqlen_k,
            draft_tokens=draft_tokens,
            nsa_index_topk=self.nsa_index_topk,
            real_page_size=self.real_page_size,
        ):
            self._fill_target_verify_metadata(
                metadata, req_pool_indices[:bs], seq_lens[:bs], max_seqlen_k
            )

        if self.nsa_decode_impl == "flashmla_kv":
            metadata.flashmla_metadata.slice(slice(0, bs * draft_tokens + 1)).copy_(
                self._compute_flashmla_metadata(
                    cache_seqlens=metadata.nsa_cache_seqlens_int32, seq_len_q=1
                )
            )

        self.forward_metadata = metadata

    def _fill_target_verify_metadata(
        self,
        metadata: NSAMetadata,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        max_seqlen_k: int,
    ):
        """The same without Triton: no Python lists, no launch for each request."""
        draft_tokens = self.speculative_num_draft_tokens
        cache_seqlens = (seq_lens + draft_tokens).to(torch.int32)
        seqlens_expanded = (
            (cache_seqlens - (draft_tokens - 1)).unsqueeze(1)
            + self.get_device_int32_arange(draft_tokens)
        ).flatten()
        nsa_cache_seqlens = compute_nsa_seqlens(seqlens_expanded, self.nsa_index_topk)
        page_indices = torch.repeat_interleave(
            self.req_to_token[req_pool_indices, :max_seqlen_k], draft_tokens, dim=0
        )

        metadata.cache_seqlens_int32.copy_(cache_seqlens)
        torch.cumsum(
            cache_seqlens, dim=0, dtype=torch.int32, out=metadata.cu_seqlens_k[1:]
        )
        metadata.nsa_seqlens_expanded.copy_(seqlens_expanded)
        metadata.nsa_cache_seqlens_int32.copy_(nsa_cache_seqlens)
        torch.cumsum(
            nsa_cache_seqlens,
            dim=0,
            dtype=torch.int32,
            out=metadata.nsa_cu_seqlens_k[1:],
        )
        metadata.page_table_1[:, :max_seqlen_k].copy_(page_indices)
        if self.real_page_size > 1:
            real_page_table = self._transform_table_1_to_real(page_indices)
            metadata.real_page_table[:, : real_page_table.shape[1]].copy_(
                real_page_table
            )
