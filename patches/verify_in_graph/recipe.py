"""Fill target_verify's metadata inside its CUDA graph: a replay launches nothing.

Source: upstream's own hook, `init_forward_metadata_in_graph`, which its runner calls there.
"""

from __future__ import annotations

import libcst as cst

from patcher.recipe import Patch
from patcher.steps import (
    Adapt,
    AddMethods,
    Drop,
    HasGlobal,
    PrependToBody,
    RequireKnown,
    Where,
)
from patcher.steps.cst.workspace import Step
from patches import HERE
from patches.shared.anchors import DSA_BACKEND, INIT_STATE
from patches.shared.dsa import (
    BACKEND,
    HAS_KPOOL,
    LOG_ROUTE,
    OUT_GRAPH,
    OWN_KERNELS,
    read_gate,
)
from patches.verify_in_graph.about import ABOUT

PAYLOAD = HERE / "verify_in_graph" / "payload" / "dsa_backend.py"
BASE_BACKEND = "sglang/srt/layers/attention/base_attn_backend.py"
ENVIRON = "sglang/srt/environ.py"
# From 0.5.18 on the runner records an event in the graph, behind the hook.
MARKS_READS = HasGlobal("SharedReadEnds")


def _has_glue(module: cst.Module) -> bool:
    """From 0.5.19 on."""
    return "SGLANG_ENABLE_METADATA_GLUE_GRAPH" in module.code


NO_KPOOL = Drop(
    statement="can_verify &= self.dsa_index_kpool <= 1",
    when=lambda module: not HAS_KPOOL(module),
)


NO_EVENT = tuple(
    Drop(statement=statement)
    for statement in (
        "from sglang.srt.model_executor.runner_utils.shared_read_event "
        "import make_external_event",
        "can_verify &= make_external_event(torch.cuda) is not None",
    )
)
NO_GLUE = Drop(
    statement="can_verify &= not envs.SGLANG_ENABLE_METADATA_GLUE_GRAPH.get()",
)


def _methods(*adapt: Adapt) -> Step:
    return AddMethods(
        file=DSA_BACKEND,
        cls=BACKEND,
        after=OUT_GRAPH,
        payload=PAYLOAD,
        source="VerifyInGraph",
        adapt=(NO_KPOOL, *adapt),
    )


PATCH = Patch(
    ABOUT,
    steps=(
        # What runs in the graph must ask nothing of the host.
        *(
            RequireKnown(file=DSA_BACKEND, symbol=f"{BACKEND}.{symbol}")
            for symbol in (
                INIT_STATE,
                OUT_GRAPH,
                "_apply_cuda_graph_metadata",
                "set_dsa_prefill_impl",
                "_compute_flashmla_metadata",
                "_build_paged_mqa_schedule_2d_ctx_lens",
                "_refresh_paged_mqa_schedule_metadata",
                "_refresh_topk_v2_plan",
            )
        ),
        *(
            Where(RequireKnown(file=file, symbol=symbol), has=file)
            for file in OWN_KERNELS
            for symbol in (
                "_fused_dsa_target_verify_metadata_kernel",
                "fused_dsa_target_verify_metadata",
            )
        ),
        # Where the runner is told that target_verify's reads end in the graph.
        RequireKnown(
            file=BASE_BACKEND, symbol="AttentionBackend.shared_read_ends", may_lack=True
        ),
        *read_gate(ABOUT.gate, PAYLOAD, "DSA_VERIFY_METADATA_IN_GRAPH"),
        LOG_ROUTE,
        *(
            PrependToBody(
                file=DSA_BACKEND,
                function=f"{BACKEND}.{method}",
                payload=PAYLOAD,
                source=f"VerifyInGraphDispatch.{method}",
            )
            for method in (INIT_STATE, OUT_GRAPH)
        ),
        Where(_methods(*NO_EVENT, NO_GLUE), unless=MARKS_READS, of=BASE_BACKEND),
        Where(
            Where(_methods(NO_GLUE), when=MARKS_READS, of=BASE_BACKEND),
            unless=_has_glue,
            of=ENVIRON,
        ),
        Where(_methods(), when=_has_glue, of=ENVIRON),
    ),
)
