from __future__ import annotations

from typing import Set

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import (
    DeepseekSparseAttnMultiStepBackend,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch

# Read once, on import: the draft's CUDA graph fills its own metadata. Not with the plan
# stream: on it, target verify's inputs are written where the draft's graph still reads.
DSA_METADATA_IN_GRAPH = (
    envs.SGLANG_NSA_METADATA_IN_GRAPH.get()
    and not envs.SGLANG_ENABLE_OVERLAP_PLAN_STREAM.get()
)


class InGraphDispatch(DeepseekSparseAttnMultiStepBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if DSA_METADATA_IN_GRAPH:
            self.shares_metadata = self._can_share_metadata()
        # Batch sizes whose graph fills the metadata itself.
        self.in_graph_bs: Set[int] = set()

    def init_forward_metadata_out_graph(
        self, forward_batch: ForwardBatch, in_capture: bool = False
    ):
        if forward_batch.batch_size in self.in_graph_bs and not in_capture:
            self._use_shared_metadata(forward_batch.batch_size)
            return

    def init_forward_metadata_in_graph(self, forward_batch: ForwardBatch) -> None:
        if DSA_METADATA_IN_GRAPH and self.shares_metadata:
            self.in_graph_bs.discard(forward_batch.batch_size)
            if self._fill_metadata(forward_batch):
                log_metadata_route("in-graph")
                self.in_graph_bs.add(forward_batch.batch_size)
