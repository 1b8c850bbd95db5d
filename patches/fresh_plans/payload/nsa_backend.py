from __future__ import annotations

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NativeSparseAttnMultiStepBackend,
    NSAMetadata,
    PrecomputedMetadata,
)


class CopyOne(NativeSparseAttnBackend):
    def init_forward_metadata_replay_cuda_graph_from_precomputed(
        self, bs: int, precomputed: PrecomputedMetadata, metadata: NSAMetadata
    ):
        # The captured schedule fits the lengths of the capture, all 1: DeepGEMM would
        # do the work of a long sequence on a single SM.
        if (
            envs.SGLANG_NSA_REFRESH_REPLAY_PLANS.get()
            and metadata.paged_mqa_schedule_metadata is not None
        ):
            import deep_gemm

            metadata.paged_mqa_schedule_metadata.copy_(
                deep_gemm.get_paged_mqa_logits_metadata(
                    precomputed.seqlens_expanded, 64, deep_gemm.get_num_sms()
                )
            )


# Up to 0.5.14. From 0.5.12 on DeepGEMM takes the lengths as [batch size, 1].
class CopyThree(NativeSparseAttnMultiStepBackend):
    def init_forward_metadata_replay_cuda_graph(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        metadata0: NSAMetadata,
        metadata1: NSAMetadata,
        metadata2: NSAMetadata,
    ):
        # The fused copy leaves the schedule of the capture in these three.
        if (
            envs.SGLANG_NSA_REFRESH_REPLAY_PLANS.get()
            and metadata0.paged_mqa_schedule_metadata is not None
        ):
            import deep_gemm

            new_schedule = deep_gemm.get_paged_mqa_logits_metadata(
                precomputed.seqlens_expanded,
                64,
                deep_gemm.get_num_sms(),
            )
            torch._foreach_copy_(
                [
                    metadata.paged_mqa_schedule_metadata
                    for metadata in (metadata0, metadata1, metadata2)
                ],
                [new_schedule] * 3,
            )
            self.attn_backends[0].forward_metadata = metadata0
            self.attn_backends[1].forward_metadata = metadata1
            self.attn_backends[2].forward_metadata = metadata2
