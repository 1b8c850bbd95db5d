"""Fill the draft steps' metadata inside their CUDA graph: a replay launches nothing.

Source: what documents 001 and 004 leave as the future, "the full metadata pipeline".
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import (
    AddMethods,
    InsertBefore,
    PrependToBody,
    RequireNeverRead,
)
from patches import HERE
from patches.in_graph.about import ABOUT
from patches.shared.anchors import (
    CAPTURE,
    INIT_STATE,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
    gate,
)
from patches.shared.fused import kernels

PAYLOAD = HERE / "in_graph" / "payload"
MULTI_STEP = "NativeSparseAttnMultiStepBackend"


def prepend(method: str) -> PrependToBody:
    """The in-graph path at the head of a multi-step method."""
    return PrependToBody(
        file=NSA_BACKEND,
        function=f"{MULTI_STEP}.{method}",
        payload=PAYLOAD / "nsa_backend.py",
        source=f"InGraphDispatch.{method}",
        adapt=OLDER_NSA_BACKEND,
    )


PATCH = Patch(
    ABOUT,
    steps=(
        # What lets the steps share one set of buffers.
        RequireNeverRead(file=NSA_BACKEND, attribute="speculative_step_id"),
        gate(ABOUT.gate),
        kernels(PAYLOAD),
        prepend("__init__"),
        prepend(INIT_STATE),
        prepend(CAPTURE),
        prepend(REPLAY),
        AddMethods(
            file=NSA_BACKEND,
            cls=MULTI_STEP,
            after=REPLAY,
            payload=PAYLOAD / "nsa_backend.py",
            source="InGraph",
            adapt=OLDER_NSA_BACKEND,
        ),
        InsertBefore(
            file="sglang/srt/speculative/eagle_draft_cuda_graph_runner.py",
            function="EAGLEDraftCudaGraphRunner.capture_one_batch_size.run_once",
            anchor="ret = self.eagle_worker.draft_forward(forward_batch)",
            payload=PAYLOAD / "eagle_draft_cuda_graph_runner.py",
            source="InGraphCapture.capture_one_batch_size.run_once",
        ),
    ),
)
