"""The steps for family C, whose runners call `init_forward_metadata_in_graph` themselves.

Source: sgl-project/sglang#29843 does this for another backend.
"""

from __future__ import annotations

from patcher.steps import (
    AddDefinitions,
    AddMethods,
    AddModule,
    Choose,
    Drop,
    HasMethod,
    HasStatement,
    PrependToBody,
    Rename,
    RequireKnown,
    RequireNeverRead,
    Where,
)
from patcher.steps.adapt import When
from patcher.steps.cst.workspace import Step
from patches import HERE, SHARED
from patches.in_graph.about import ABOUT
from patches.shared.anchors import DSA_BACKEND, INIT_STATE, gate

PAYLOAD = HERE / "in_graph" / "payload" / "dsa_backend.py"
BACKEND = "DeepseekSparseAttnBackend"
MULTI_STEP = "DeepseekSparseAttnMultiStepBackend"
OUT_GRAPH = "init_forward_metadata_out_graph"
IN_GRAPH = "init_forward_metadata_in_graph"

# From 0.5.15 on metadata is generated without asking the host, and there are methods
# that refresh what is planned from it.
HOST_FREE = HasMethod(BACKEND, "_graph_page_table_width")
OLDER = (
    "new_schedule = deep_gemm.get_paged_mqa_logits_metadata("
    "seqlens_32_2d, 64, deep_gemm.get_num_sms())",
    "metadata.paged_mqa_schedule_metadata.copy_(new_schedule)",
)
LATER = (
    "first._refresh_paged_mqa_schedule_metadata(metadata, seqlens_32_2d)",
    "first._refresh_topk_v2_plan(metadata)",
)
# 0.5.15 and 0.5.16, whose tables are written to their end whatever the lengths.
WHOLE_WIDTH = HasStatement(
    f"{BACKEND}._refresh_topk_v2_plan",
    "from sglang.jit_kernel.dsv4.topk import plan_topk_v2",
)
# From 0.5.20 on.
HAS_KPOOL = HasStatement(
    f"{BACKEND}.__init__", "self.dsa_index_kpool = get_dsa_index_kpool(hf_config)"
)


def _unless(when: When) -> When:
    return lambda module: not when(module)


def _prepend(method: str) -> Step:
    return PrependToBody(
        file=DSA_BACKEND,
        function=f"{MULTI_STEP}.{method}",
        payload=PAYLOAD,
        source=f"InGraphDispatch.{method}",
    )


def _methods(source: str) -> AddMethods:
    return AddMethods(
        file=DSA_BACKEND,
        cls=MULTI_STEP,
        after=IN_GRAPH,
        payload=PAYLOAD,
        source=source,
        adapt=(
            Drop(
                statement="can_share &= first.dsa_index_kpool <= 1",
                when=_unless(HAS_KPOOL),
            ),
            *(Drop(statement=one, when=HOST_FREE) for one in OLDER),
            *(Drop(statement=one, when=_unless(HOST_FREE)) for one in LATER),
        ),
    )


KERNELS = AddModule(
    file="sglang/srt/layers/attention/dsa/triton_metadata_kernel.py",
    payload=SHARED / "triton_metadata_kernel.py",
    adapt=tuple(
        Rename(old=f"m.nsa_{name}", new=f"m.dsa_{name}", when=lambda module: True)
        for name in ("seqlens_expanded", "cache_seqlens_int32", "cu_seqlens_k")
    ),
)

FAMILY_C: tuple[Step, ...] = (
    gate(ABOUT.gate, section="DSA Backend"),
    # What lets the steps share one set of buffers, and what one of them does alone.
    RequireNeverRead(file=DSA_BACKEND, attribute="speculative_step_id"),
    *(
        RequireKnown(file=DSA_BACKEND, symbol=f"{BACKEND}.{symbol}")
        for symbol in (
            INIT_STATE,
            "_build_forward_metadata_cuda_graph",
            "_apply_cuda_graph_metadata",
            "set_dsa_prefill_impl",
            "_compute_flashmla_metadata",
        )
    ),
    AddDefinitions(
        file=DSA_BACKEND,
        after="_to_2d_context_lens",
        payload=PAYLOAD,
        names=("DSA_METADATA_IN_GRAPH",),
    ),
    *map(_prepend, (INIT_STATE, OUT_GRAPH, IN_GRAPH)),
    Choose(
        file=DSA_BACKEND,
        when=WHOLE_WIDTH,
        then=_methods("RecordReplay"),
        otherwise=_methods("LaunchKernel"),
    ),
    _methods("InGraph"),
    Where(KERNELS, unless=WHOLE_WIDTH, of=DSA_BACKEND),
)
