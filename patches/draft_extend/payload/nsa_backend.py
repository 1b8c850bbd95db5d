from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    fill_draft_extend_metadata_fused_simple,
)
from sglang.srt.layers.attention.nsa_backend import (
    NSA_USE_TRITON_METADATA,
    NativeSparseAttnBackend,
    log_metadata_route,
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
        if NSA_USE_TRITON_METADATA and forward_mode.is_draft_extend():
            extend_seq_lens = spec_info.accept_length
            if self._fill_metadata(
                bs, req_pool_indices, seq_lens, extend_seq_lens=extend_seq_lens
            ):
                log_metadata_route("draft-extend")
                return

    def _expand_draft_extend_seqlens(
        self, seq_lens: torch.Tensor, extend_seq_lens: torch.Tensor
    ) -> torch.Tensor:
        if NSA_USE_TRITON_METADATA:
            expanded = fill_draft_extend_metadata_fused_simple(
                extend_seq_lens, seq_lens, self.nsa_index_topk
            )
            if expanded is not None:
                return expanded[0]
