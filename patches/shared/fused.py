"""What several patches insert: the kernel, its method, and buffers that steps share."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    AddDefinitions,
    AddMethods,
    AddModule,
    AppendToBody,
    Once,
    PrependToBody,
    RequireKnown,
    RequireNeverRead,
    Step,
)
from patches import SHARED
from patches.shared.anchors import (
    CAPTURE,
    INIT_STATE,
    KNOWN_REPLAY,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
    gate,
)

FUSED_GATE = "SGLANG_NSA_USE_TRITON_METADATA"
KERNELS = "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
BACKEND = "NativeSparseAttnBackend"
MULTI_STEP = "NativeSparseAttnMultiStepBackend"
PAYLOAD = SHARED / "nsa_backend.py"


def kernels(payload: Path) -> AddModule:
    """The step that adds what a patch calls to the one kernel module."""
    return AddModule(file=KERNELS, payload=payload / "triton_metadata_kernel.py")


def read_gate(name: str, payload: Path, constant: str) -> tuple[Step, ...]:
    """The steps that declare a gate and read it, once, into a constant."""
    return (
        gate(name),
        Once(
            AddDefinitions(
                file=NSA_BACKEND,
                after="compute_cu_seqlens",
                payload=payload / "nsa_backend.py",
                names=(constant,),
            )
        ),
    )


def prepend(payload: Path, source: str, method: str, cls: str = BACKEND) -> Step:
    """The step that puts the head of `source`'s method on top of the tree's."""
    return PrependToBody(
        file=NSA_BACKEND,
        function=f"{cls}.{method}",
        payload=payload / "nsa_backend.py",
        source=f"{source}.{method}",
        adapt=OLDER_NSA_BACKEND,
    )


# One launch that rewrites one backend's metadata.
FILL_METADATA: tuple[Step, ...] = (
    *KNOWN_REPLAY,
    kernels(SHARED),
    Once(
        AddMethods(
            file=NSA_BACKEND,
            cls=BACKEND,
            after=REPLAY,
            payload=PAYLOAD,
            source="FillMetadata",
            adapt=OLDER_NSA_BACKEND,
        )
    ),
)

# The same, where a gate of its own switches it.
FUSED: tuple[Step, ...] = (
    *FILL_METADATA,
    *read_gate(FUSED_GATE, SHARED, "NSA_USE_TRITON_METADATA"),
)

# The draft steps' backends on one set of buffers, which one launch rewrites.
SHARED_STEPS: tuple[Step, ...] = (
    *FILL_METADATA,
    # What lets the steps share one set of buffers.
    RequireNeverRead(file=NSA_BACKEND, attribute="speculative_step_id"),
    # Called for one step, its decision copied to the others.
    RequireKnown(
        file=NSA_BACKEND, symbol=f"{BACKEND}.set_nsa_prefill_impl", may_lack=True
    ),
    Once(
        AddMethods(
            file=NSA_BACKEND,
            cls=MULTI_STEP,
            after=REPLAY,
            payload=PAYLOAD,
            source="SharedSteps",
            adapt=OLDER_NSA_BACKEND,
        )
    ),
    Once(prepend(SHARED, "SharedStepsDispatch", INIT_STATE, MULTI_STEP)),
    Once(
        AppendToBody(
            file=NSA_BACKEND,
            function=f"{MULTI_STEP}.{CAPTURE}",
            payload=PAYLOAD,
            source=f"SharedStepsDispatch.{CAPTURE}",
        )
    ),
    Once(prepend(SHARED, "SharedStepsDispatch", REPLAY, MULTI_STEP)),
)
