"""What several patches insert into family C: draft steps that share one set of buffers."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    Adapt,
    AddDefinitions,
    AddMethods,
    AddModule,
    Drop,
    HasGlobal,
    HasMethod,
    HasStatement,
    Once,
    PrependToBody,
    Rename,
    RequireKnown,
    RequireNeverRead,
    Where,
)
from patcher.steps.adapt import When
from patcher.steps.cst.workspace import Step
from patches import SHARED
from patches.shared.anchors import DSA_BACKEND, DSA_SPELLING, INIT_STATE, gate
from patches.shared.kernels import direct_launch, scheduling_kernels

PAYLOAD = SHARED / "dsa_backend.py"
BACKEND = "DeepseekSparseAttnBackend"
MULTI_STEP = "DeepseekSparseAttnMultiStepBackend"
KERNELS = "sglang/srt/layers/attention/dsa/triton_metadata_kernel.py"
OUT_GRAPH = "init_forward_metadata_out_graph"
IN_GRAPH = "init_forward_metadata_in_graph"

# What the draft kernel does in its own way, from 0.5.15 on.
OWN_KERNELS = (
    "sglang/srt/layers/attention/triton_ops/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa/metadata.py",
)
# From 0.5.15 on metadata is generated without asking the host.
HOST_FREE = HasMethod(BACKEND, "_graph_page_table_width")
# From 0.5.17 on a page table's row ends with its sequence.
SHORT_ROWS = HasGlobal("get_spec")
# From 0.5.20 on.
HAS_KPOOL = HasStatement(
    f"{BACKEND}.__init__", "self.dsa_index_kpool = get_dsa_index_kpool(hf_config)"
)
# From 0.5.22 on.
RESOLVES = HasGlobal("resolve_num_sms")


def _unless(when: When) -> When:
    return lambda module: not when(module)


ADAPT: tuple[Adapt, ...] = (
    Drop(statement="can_share &= first.dsa_index_kpool <= 1", when=_unless(HAS_KPOOL)),
    Drop(
        statement="""
self.topk_plan_limits = find_limits(first._build_topk_v2_plan, first.device)
""",
        when=_unless(HOST_FREE),
    ),
    Rename(
        old="resolve_paged_mqa_logits_metadata_fn()",
        new="deep_gemm.get_paged_mqa_logits_metadata",
        when=_unless(RESOLVES),
    ),
    Rename(
        old="resolve_num_sms()",
        new="deep_gemm.get_num_sms()",
        when=_unless(RESOLVES),
    ),
)


def read_gate(name: str, payload: Path, constant: str) -> tuple[Step, ...]:
    """The steps that declare a gate and read it, once, into a constant."""
    return (
        gate(name, section="DSA Backend"),
        AddDefinitions(
            file=DSA_BACKEND,
            after="_to_2d_context_lens",
            payload=payload,
            names=(constant,),
        ),
    )


def prepend(payload: Path, source: str, method: str) -> Step:
    """The step that puts the head of `source`'s method on top of the tree's."""
    return PrependToBody(
        file=DSA_BACKEND,
        function=f"{MULTI_STEP}.{method}",
        payload=payload,
        source=f"{source}.{method}",
        adapt=ADAPT,
    )


def _methods(source: str) -> AddMethods:
    return AddMethods(
        file=DSA_BACKEND,
        cls=MULTI_STEP,
        after=IN_GRAPH,
        payload=PAYLOAD,
        source=source,
        adapt=ADAPT,
    )


def _kernels(payload: str, *adapt: Adapt) -> AddModule:
    return AddModule(file=KERNELS, payload=SHARED / payload, adapt=adapt)


# Up to 0.5.14 rows are written as far as the longest sequence goes.
KERNEL = scheduling_kernels(KERNELS, *DSA_SPELLING)
DRAFT_KERNEL = "triton_draft_metadata_kernel.py"
WHOLE_ROWS = Rename(
    old="tl.minimum(tl.load(seq_lens + row).to(tl.int32), max_cols)",
    new="max_cols",
)

# What is launched at every replay.
DIRECT_LAUNCH: tuple[Step, ...] = (
    *(
        Where(step, unless=HOST_FREE, of=DSA_BACKEND)
        for step in direct_launch(KERNELS, *DSA_SPELLING)
    ),
    *(
        Where(step, when=HOST_FREE, of=DSA_BACKEND)
        for step in direct_launch(
            KERNELS,
            *DSA_SPELLING,
            kernel="_draft_metadata_kernel",
            fill="fill_draft_metadata",
            within="run",
        )
    ),
)

LOG_ROUTE = Once(
    AddDefinitions(
        file=DSA_BACKEND,
        after="_to_2d_context_lens",
        payload=SHARED / "nsa_backend.py",
        names=("log_metadata_route",),
    )
)

# The draft steps' backends on one set of buffers, which is filled once for all.
SHARED_STEPS: tuple[Step, ...] = (
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
    *(
        RequireKnown(file=DSA_BACKEND, symbol=f"{BACKEND}.{symbol}", may_lack=True)
        for symbol in (
            "_refresh_paged_mqa_schedule_metadata",
            "_refresh_topk_v2_plan",
            "_build_topk_v2_plan",
        )
    ),
    *(
        Where(RequireKnown(file=file, symbol=symbol), has=file)
        for file in OWN_KERNELS
        for symbol in ("_fused_dsa_decode_metadata_kernel", "fused_dsa_decode_metadata")
    ),
    LOG_ROUTE,
    *(Once(Where(step, unless=HOST_FREE, of=DSA_BACKEND)) for step in KERNEL),
    Where(
        Once(Where(_kernels(DRAFT_KERNEL, WHOLE_ROWS), when=HOST_FREE, of=DSA_BACKEND)),
        unless=SHORT_ROWS,
        of=DSA_BACKEND,
    ),
    Once(Where(_kernels(DRAFT_KERNEL), when=SHORT_ROWS, of=DSA_BACKEND)),
    Once(Where(_methods("LaunchDraftKernel"), when=HOST_FREE)),
    Once(Where(_methods("LaunchKernel"), unless=HOST_FREE)),
    Once(_methods("SharedSteps")),
    Once(prepend(PAYLOAD, "SharedStepsDispatch", INIT_STATE)),
    Once(prepend(PAYLOAD, "SharedStepsDispatch", OUT_GRAPH)),
)
