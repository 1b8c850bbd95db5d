from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa_backend import (
    NSA_USE_TRITON_METADATA,
    NativeSparseAttnBackend,
    log_metadata_route,
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
        if NSA_USE_TRITON_METADATA and forward_mode.is_target_verify():
            draft_tokens = self.speculative_num_draft_tokens
            if self._fill_metadata(bs, req_pool_indices, seq_lens, draft_tokens):
                log_metadata_route("target-verify")
                return


# From 0.5.7 on: before anything is captured.
class FindRemainder(NativeSparseAttnBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if NSA_USE_TRITON_METADATA:
            self.schedule_remainder = self._find_schedule_remainder()
