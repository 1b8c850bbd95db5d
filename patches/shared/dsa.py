"""What several patches insert into family C: draft steps that share one set of buffers."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    AddDefinitions,
    AddMethods,
    AddModule,
    Drop,
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
from patches.shared.anchors import DSA_BACKEND, INIT_STATE, gate

PAYLOAD = SHARED / "dsa_backend.py"
BACKEND = "DeepseekSparseAttnBackend"
MULTI_STEP = "DeepseekSparseAttnMultiStepBackend"
OUT_GRAPH = "init_forward_metadata_out_graph"
IN_GRAPH = "init_forward_metadata_in_graph"

# From 0.5.15 on metadata is generated without asking the host.
HOST_FREE = HasMethod(BACKEND, "_graph_page_table_width")
# From 0.5.20 on.
HAS_KPOOL = HasStatement(
    f"{BACKEND}.__init__", "self.dsa_index_kpool = get_dsa_index_kpool(hf_config)"
)


def _unless(when: When) -> When:
    return lambda module: not when(module)


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
    Once(
        AddDefinitions(
            file=DSA_BACKEND,
            after="_to_2d_context_lens",
            payload=SHARED / "nsa_backend.py",
            names=("log_metadata_route",),
        )
    ),
    Once(Where(KERNELS, unless=HOST_FREE, of=DSA_BACKEND)),
    Once(Where(_methods("RecordReplay"), when=HOST_FREE)),
    Once(Where(_methods("LaunchKernel"), unless=HOST_FREE)),
    Once(_methods("SharedSteps")),
    Once(prepend(PAYLOAD, "SharedStepsDispatch", INIT_STATE)),
    Once(prepend(PAYLOAD, "SharedStepsDispatch", OUT_GRAPH)),
)
