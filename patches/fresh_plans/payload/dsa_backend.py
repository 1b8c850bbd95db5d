from __future__ import annotations

import deep_gemm

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import (
    DeepseekSparseAttnMultiStepBackend,
    DSAMetadata,
    PrecomputedMetadata,
    _to_2d_context_lens,
)


# 0.5.13 and 0.5.14: no top-k plan yet, and no method that refreshes the schedule.
class CopyThreeSchedule(DeepseekSparseAttnMultiStepBackend):
    def init_forward_metadata_out_graph(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        metadata0: DSAMetadata,
        metadata1: DSAMetadata,
        metadata2: DSAMetadata,
    ):
        # The fused copy leaves the schedule of the capture in these three.
        # paged_mqa_ctx_lens_2d is fresh: a view of cache_seqlens_int32.
        if (
            envs.SGLANG_NSA_REFRESH_REPLAY_PLANS.get()
            and metadata0.paged_mqa_schedule_metadata is not None
        ):
            new_schedule = deep_gemm.get_paged_mqa_logits_metadata(
                _to_2d_context_lens(precomputed.seqlens_expanded, bs),
                64,
                deep_gemm.get_num_sms(),
            )
            for metadata in (metadata0, metadata1, metadata2):
                metadata.paged_mqa_schedule_metadata.copy_(new_schedule)


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
            for backend, metadata in zip(
                self.attn_backends, (metadata0, metadata1, metadata2)
            ):
                backend._refresh_paged_mqa_schedule_metadata(
                    metadata, _to_2d_context_lens(metadata.cache_seqlens_int32, bs)
                )
                backend._refresh_topk_v2_plan(metadata)
