from __future__ import annotations

import logging
from functools import cache
from typing import Optional

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    fill_metadata_inplace,
    find_remainder,
)
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NativeSparseAttnMultiStepBackend,
    NSAMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.utils import is_cuda

# Read once, on import: replay in one Triton launch.
NSA_USE_TRITON_METADATA = envs.SGLANG_NSA_USE_TRITON_METADATA.get()


@cache
def log_metadata_route(route: str):
    # Once each: what a person looks for in a server's log.
    logging.getLogger(__name__).info(f"NSA metadata route: {route}")


class FillMetadata(NativeSparseAttnBackend):
    def _fill_metadata(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        draft_tokens: int = 0,
        extend_seq_lens: Optional[torch.Tensor] = None,
        req_to_token: Optional[torch.Tensor] = None,
    ) -> bool:
        """Rewrite the metadata of `bs` in one launch, if that is possible."""
        metadata: NSAMetadata = self.decode_cuda_graph_metadata[bs]
        source = self.req_to_token if req_to_token is None else req_to_token
        pool = (req_pool_indices, source, self.nsa_index_topk)
        if not fill_metadata_inplace(
            metadata, bs, seq_lens, *pool, draft_tokens, extend_seq_lens
        ):
            return False

        self.set_nsa_prefill_impl(forward_batch=None)
        self._refresh_paged_mqa_schedule(metadata, bs)
        if self.nsa_decode_impl == "flashmla_kv":
            expanded = bs * max(draft_tokens, 1)
            if extend_seq_lens is not None:  # The host has to know, for the plan.
                expanded = int(extend_seq_lens[:bs].sum().item())
            metadata.flashmla_metadata.slice(slice(0, expanded + 1)).copy_(
                self._compute_flashmla_metadata(
                    cache_seqlens=metadata.nsa_cache_seqlens_int32[:expanded],
                    seq_len_q=1,
                )
            )
        self.forward_metadata = metadata
        return True


# From 0.5.7 on. From 0.5.12 on DeepGEMM takes the lengths as [tokens, 1].
class RefreshSchedule(NativeSparseAttnBackend):
    def _refresh_paged_mqa_schedule(self, metadata: NSAMetadata, bs: int):
        # The captured schedule fits the lengths of the capture, all 1: DeepGEMM would
        # do the work of a long sequence on a single SM.
        if (
            self.schedule_remainder is None
            and metadata.paged_mqa_schedule_metadata is not None
        ):
            import deep_gemm

            metadata.paged_mqa_schedule_metadata.copy_(
                deep_gemm.get_paged_mqa_logits_metadata(
                    metadata.nsa_seqlens_expanded, 64, deep_gemm.get_num_sms()
                )
            )


class SharedStepsDispatch(NativeSparseAttnMultiStepBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if self.shares_metadata:
            # No step's metadata depends on the step: N steps use the buffers of one.
            first, *others = self.attn_backends
            first.init_cuda_graph_state(max_bs, max_num_tokens)
            for backend in others:
                backend.decode_cuda_graph_metadata = first.decode_cuda_graph_metadata
            first.schedule_remainder = first._find_schedule_remainder()
            return

    def init_forward_metadata_capture_cuda_graph(self, forward_batch: ForwardBatch):
        if self.shares_metadata:
            self._use_shared_metadata(forward_batch.batch_size)

    def init_forward_metadata_replay_cuda_graph(
        self, forward_batch: ForwardBatch, bs: int
    ):
        if self.shares_metadata and self._fill_shared_metadata(forward_batch, bs):
            log_metadata_route("fan-out")
            self._use_shared_metadata(bs)
            return


class SharedSteps(NativeSparseAttnMultiStepBackend):
    shares_metadata = False

    def _fill_shared_metadata(self, forward_batch: ForwardBatch, bs: int) -> bool:
        batch = (forward_batch.req_pool_indices, forward_batch.seq_lens)
        return self.attn_backends[0]._fill_metadata(bs, *batch)

    def _use_shared_metadata(self, bs: int):
        first = self.attn_backends[0]
        first.set_nsa_prefill_impl(forward_batch=None)
        for backend in self.attn_backends:
            backend.use_mha = first.use_mha
            backend.nsa_prefill_impl = first.nsa_prefill_impl
            backend.forward_metadata = first.decode_cuda_graph_metadata[bs]


# From 0.5.7 on. From 0.5.12 on DeepGEMM takes the lengths as [tokens, 1].
class FindRemainder(NativeSparseAttnBackend):
    # Where the kernel makes DeepGEMM's schedule: see find_remainder.
    schedule_remainder: Optional[str] = None

    def _find_schedule_remainder(self) -> Optional[str]:
        if not is_cuda():
            return None
        try:
            import deep_gemm
        except ImportError:
            return None
        return find_remainder(
            deep_gemm.get_paged_mqa_logits_metadata,
            deep_gemm.get_num_sms(),
            self.device,
        )
