from __future__ import annotations

from typing import Set

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import (
    DeepseekSparseAttnBackend,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.utils import is_cuda

# Read once, on import: target verify's CUDA graph fills its own metadata.
DSA_VERIFY_METADATA_IN_GRAPH = envs.SGLANG_NSA_VERIFY_METADATA_IN_GRAPH.get()


class VerifyInGraphDispatch(DeepseekSparseAttnBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        # Batch sizes whose target verify graph fills the metadata itself.
        self.verify_in_graph_bs: Set[int] = set()

    def init_forward_metadata_out_graph(
        self, forward_batch: ForwardBatch, in_capture: bool = False
    ):
        if (
            forward_batch.forward_mode.is_target_verify()
            and forward_batch.batch_size in self.verify_in_graph_bs
            and not in_capture
        ):
            self.set_dsa_prefill_impl(forward_batch=None)
            self.forward_metadata = self.decode_cuda_graph_metadata[
                forward_batch.batch_size
            ]
            return


class VerifyInGraph(DeepseekSparseAttnBackend):
    def _can_verify_in_graph(self, forward_batch: ForwardBatch) -> bool:
        from sglang.srt.model_executor.runner_utils.shared_read_event import (
            make_external_event,
        )

        if (
            forward_batch.tbo_children is not None
            or forward_batch.tbo_parent_token_range is not None
        ):
            return False
        # With EAGLE no event says before the graph that req_to_token was read.
        can_verify = is_cuda() and forward_batch.spec_algorithm.is_eagle()
        can_verify &= self.hisparse_coordinator is None
        can_verify &= self.dsa_index_kpool <= 1
        # Both prepare the metadata in their own way, on a stream or in a graph.
        can_verify &= not envs.SGLANG_ENABLE_OVERLAP_PLAN_STREAM.get()
        can_verify &= not envs.SGLANG_ENABLE_METADATA_GLUE_GRAPH.get()
        # Without it the event is recorded before the graph.
        can_verify &= make_external_event(torch.cuda) is not None
        return can_verify

    def init_forward_metadata_in_graph(self, forward_batch: ForwardBatch) -> None:
        bs = forward_batch.batch_size
        if not forward_batch.forward_mode.is_target_verify():
            return
        self.verify_in_graph_bs.discard(bs)
        if DSA_VERIFY_METADATA_IN_GRAPH and self._can_verify_in_graph(forward_batch):
            self._apply_cuda_graph_metadata(
                bs=bs,
                req_pool_indices=forward_batch.req_pool_indices,
                seq_lens=forward_batch.seq_lens,
                seq_lens_cpu=None,
                forward_mode=forward_batch.forward_mode,
                spec_info=forward_batch.spec_info,
            )
            log_metadata_route("verify-in-graph")
            self.verify_in_graph_bs.add(bs)
