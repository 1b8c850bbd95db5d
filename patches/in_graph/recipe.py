"""Fill the draft steps' metadata inside their CUDA graph: a replay launches nothing.

Source: what documents 001 and 004 leave as the future, "the full metadata pipeline".
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import (
    AddMethods,
    HasGlobal,
    HasStatement,
    InsertBefore,
    Rename,
    Where,
)
from patcher.steps.cst.workspace import Step
from patches import HERE
from patches.in_graph.about import ABOUT
from patches.in_graph.dsa import FAMILY_C
from patches.shared.anchors import (
    DRAFT_EXTEND_BY_TOKEN,
    DSA_BACKEND,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
)
from patches.shared.fused import MULTI_STEP, SHARED_STEPS, prepend, read_gate

PAYLOAD = HERE / "in_graph" / "payload"
RUNNER = "EAGLEDraftCudaGraphRunner"

# From 0.5.11 on there may be a runner for each number of steps, with a backend each.
OWN_BACKEND = HasStatement(
    f"{RUNNER}.__init__",
    "self.draft_attn_backend = draft_attn_backend or model_runner.draft_attn_backend",
)

READ = "envs.SGLANG_NSA_METADATA_IN_GRAPH.get()"
# In 0.5.10 all runners have the same static inputs, and target_verify's are written on the
# plan stream before the draft's graph is done. From 0.5.11 on that stream waits for it.
ALONE = Rename(
    old=READ,
    new=f"(\n    {READ}\n    and not envs.SGLANG_ENABLE_OVERLAP_PLAN_STREAM.get()\n)",
    when=lambda module: (
        HasGlobal("_USE_FUSED_METADATA_COPY")(module)
        and not HasGlobal("_VERIFY_FUSED_METADATA_COPY")(module)
        and DRAFT_EXTEND_BY_TOKEN(module)
    ),
)

FAMILIES_A_AND_B: tuple[Step, ...] = (
    *SHARED_STEPS,
    *read_gate(ABOUT.gate, PAYLOAD, "NSA_METADATA_IN_GRAPH", adapt=(ALONE,)),
    prepend(PAYLOAD, "InGraphDispatch", "__init__", MULTI_STEP),
    prepend(PAYLOAD, "InGraphDispatch", REPLAY, MULTI_STEP),
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
        function=f"{RUNNER}.capture_one_batch_size.run_once",
        anchor="ret = self.eagle_worker.draft_forward(forward_batch)",
        payload=PAYLOAD / "eagle_draft_cuda_graph_runner.py",
        source="InGraphCapture.capture_one_batch_size.run_once",
        adapt=(
            Rename(
                old="self.model_runner.draft_attn_backend",
                new="self.draft_attn_backend",
                when=OWN_BACKEND,
            ),
        ),
    ),
)

PATCH = Patch(
    ABOUT,
    steps=(
        *(Where(step, lacks=DSA_BACKEND) for step in FAMILIES_A_AND_B),
        *(Where(step, has=DSA_BACKEND) for step in FAMILY_C),
    ),
)
