from __future__ import annotations

from collections.abc import Callable

from sglang.srt.speculative.eagle_draft_cuda_graph_runner import (
    EAGLEDraftCudaGraphRunner,
)


class InGraphCapture(EAGLEDraftCudaGraphRunner):
    def capture_one_batch_size(
        self, num_seqs: int, forward: Callable, stream_idx: int = 0
    ):
        def run_once(forward_batch):
            draft_attn_backend = self.model_runner.draft_attn_backend
            if hasattr(draft_attn_backend, "fill_metadata_in_graph"):
                draft_attn_backend.fill_metadata_in_graph(forward_batch)

        return run_once
