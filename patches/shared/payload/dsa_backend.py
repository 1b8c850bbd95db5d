from __future__ import annotations

from typing import Optional

import deep_gemm
import torch

from sglang.srt.layers.attention.dsa.triton_metadata_kernel import (
    fill_draft_metadata,
    fill_metadata_inplace,
    find_limits,
    find_remainder,
)
from sglang.srt.layers.attention.dsa.utils import (
    resolve_num_sms,
    resolve_paged_mqa_logits_metadata_fn,
)
from sglang.srt.layers.attention.dsa_backend import (
    DeepseekSparseAttnMultiStepBackend,
    DSAMetadata,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch, ForwardMode
from sglang.srt.utils import is_cuda


class SharedStepsDispatch(DeepseekSparseAttnMultiStepBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if self.shares_metadata:
            # No step's metadata depends on the step: N steps use the buffers of one.
            first, *others = self.attn_backends
            first.init_cuda_graph_state(max_bs, max_num_tokens)
            for attn_backend in others:
                # For what else it sets; its tables, of one token, are dropped.
                attn_backend.init_cuda_graph_state(max_bs, 1)
                attn_backend.decode_cuda_graph_metadata = (
                    first.decode_cuda_graph_metadata
                )
            self.schedule_remainder = find_remainder(
                resolve_paged_mqa_logits_metadata_fn(), resolve_num_sms(), first.device
            )
            self.topk_plan_limits = find_limits(first._build_topk_v2_plan, first.device)
            return

    def init_forward_metadata_out_graph(
        self, forward_batch: ForwardBatch, in_capture: bool = False
    ):
        if self.shares_metadata and not in_capture:
            if not self._fill_metadata(forward_batch):
                self._replay_first(forward_batch, forward_batch.seq_lens_cpu)
            log_metadata_route("fan-out")
            self._use_shared_metadata(forward_batch.batch_size)
            return


class SharedSteps(DeepseekSparseAttnMultiStepBackend):
    # Whether the steps share one set of CUDA graph buffers.
    shares_metadata = False

    def _can_share_metadata(self) -> bool:
        if not (is_cuda() and self.attn_backends):
            return False
        first = self.attn_backends[0]
        can_share = self.topk <= 1
        can_share &= first.hisparse_coordinator is None
        can_share &= first.dsa_index_kpool <= 1
        return can_share

    def _replay_first(
        self, forward_batch: ForwardBatch, seq_lens_cpu: Optional[torch.Tensor]
    ):
        self.attn_backends[0]._apply_cuda_graph_metadata(
            bs=forward_batch.batch_size,
            req_pool_indices=forward_batch.req_pool_indices,
            seq_lens=forward_batch.seq_lens,
            seq_lens_cpu=seq_lens_cpu,
            forward_mode=ForwardMode.DECODE,
            spec_info=None,
        )

    def _use_shared_metadata(self, bs: int):
        first = self.attn_backends[0]
        first.set_dsa_prefill_impl(forward_batch=None)
        for attn_backend in self.attn_backends:
            attn_backend.use_mha = first.use_mha
            attn_backend.dsa_prefill_impl = first.dsa_prefill_impl
            attn_backend.forward_metadata = first.decode_cuda_graph_metadata[bs]


# From 0.5.15 on: with DeepGEMM's schedule and top-k's plan in it.
class LaunchDraftKernel(DeepseekSparseAttnMultiStepBackend):
    def _fill_metadata(self, forward_batch: ForwardBatch) -> bool:
        """Fill the shared metadata from what is on the device, if that is possible."""
        bs, first = forward_batch.batch_size, self.attn_backends[0]
        metadata: DSAMetadata = first.decode_cuda_graph_metadata[bs]
        if not fill_draft_metadata(
            metadata,
            forward_batch.seq_lens,
            forward_batch.req_pool_indices,
            first.req_to_token,
            first.dsa_index_topk,
            self.schedule_remainder,
            self.topk_plan_limits,
        ):
            return False

        if self.schedule_remainder is None:
            first._refresh_paged_mqa_schedule_metadata(
                metadata, metadata.paged_mqa_ctx_lens_2d
            )
        if self.topk_plan_limits is None:
            first._refresh_topk_v2_plan(metadata)
        if metadata.flashmla_metadata is not None:
            metadata.flashmla_metadata.slice(slice(0, bs + 1)).copy_(
                first._compute_flashmla_metadata(
                    cache_seqlens=metadata.dsa_cache_seqlens_int32, seq_len_q=1
                )
            )
        return True


# Up to 0.5.14.
class LaunchKernel(DeepseekSparseAttnMultiStepBackend):
    def _fill_metadata(self, forward_batch: ForwardBatch) -> bool:
        """Fill the shared metadata from what is on the device, if that is possible."""
        bs, first = forward_batch.batch_size, self.attn_backends[0]
        metadata: DSAMetadata = first.decode_cuda_graph_metadata[bs]
        if not fill_metadata_inplace(
            metadata,
            bs,
            forward_batch.seq_lens,
            forward_batch.req_pool_indices,
            first.req_to_token,
            first.dsa_index_topk,
            self.schedule_remainder,
        ):
            return False

        if self.schedule_remainder is None:
            metadata.paged_mqa_schedule_metadata.copy_(
                deep_gemm.get_paged_mqa_logits_metadata(
                    metadata.paged_mqa_ctx_lens_2d, 64, deep_gemm.get_num_sms()
                )
            )
        if metadata.flashmla_metadata is not None:
            metadata.flashmla_metadata.slice(slice(0, bs + 1)).copy_(
                first._compute_flashmla_metadata(
                    cache_seqlens=metadata.dsa_cache_seqlens_int32, seq_len_q=1
                )
            )
        return True
