from __future__ import annotations

from typing import TYPE_CHECKING

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnMultiStepBackend,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch

if TYPE_CHECKING:
    from sglang.srt.model_executor.model_runner import ModelRunner

# Read once, on import: the draft's CUDA graph fills its own metadata.
NSA_METADATA_IN_GRAPH = envs.SGLANG_NSA_METADATA_IN_GRAPH.get()


class InGraphDispatch(NativeSparseAttnMultiStepBackend):
    def __init__(
        self, model_runner: ModelRunner, topk: int, speculative_num_steps: int
    ):
        if NSA_METADATA_IN_GRAPH:
            self.shares_metadata = True
        # Batch sizes whose graph fills the metadata itself.
        self.in_graph_bs: set = set()

    def init_forward_metadata_replay_cuda_graph(
        self, forward_batch: ForwardBatch, bs: int
    ):
        if bs in self.in_graph_bs:
            self._use_shared_metadata(bs)
            return


class InGraph(NativeSparseAttnMultiStepBackend):
    def fill_metadata_in_graph(self, forward_batch: ForwardBatch):
        """Fill the shared metadata in a draft graph, from its static inputs."""
        bs = forward_batch.batch_size
        self.in_graph_bs.discard(bs)
        if NSA_METADATA_IN_GRAPH and self._fill_shared_metadata(forward_batch, bs):
            log_metadata_route("in-graph")
            self.in_graph_bs.add(bs)
