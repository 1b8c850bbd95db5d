from __future__ import annotations

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import (
    DeepseekSparseAttnMultiStepBackend,
    DSAMetadata,
    _to_2d_context_lens,
)


class CopyThree(DeepseekSparseAttnMultiStepBackend):
    def init_forward_metadata_out_graph(
        self,
        bs: int,
        metadata0: DSAMetadata,
        metadata1: DSAMetadata,
        metadata2: DSAMetadata,
    ):
        # The fused copy leaves the schedule and the top-k plan of the capture in
        # these three. paged_mqa_ctx_lens_2d is fresh: a view of cache_seqlens_int32.
        if (
            envs.SGLANG_NSA_REFRESH_REPLAY_PLANS.get()
            and metadata0.paged_mqa_schedule_metadata is not None
        ):
            # Every step has the same lengths: computed once, copied in one launch.
            first, others = self.attn_backends[0], (metadata1, metadata2)
            first._refresh_paged_mqa_schedule_metadata(
                metadata0, _to_2d_context_lens(metadata0.cache_seqlens_int32, bs)
            )
            stale = [metadata.paged_mqa_schedule_metadata for metadata in others]
            fresh = [metadata0.paged_mqa_schedule_metadata] * 2
            if metadata0.topk_v2_plan is not None:
                new_plan = first._build_topk_v2_plan(metadata0.dsa_seqlens_expanded)
                stale += [metadata.topk_v2_plan for metadata in (metadata0, *others)]
                fresh += [new_plan] * 3
            torch._foreach_copy_(stale, fresh)
            self.attn_backends[0].forward_metadata = metadata0
            self.attn_backends[1].forward_metadata = metadata1
            self.attn_backends[2].forward_metadata = metadata2
