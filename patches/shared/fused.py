"""What several patches insert: the kernel, its method, and buffers that steps share."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    Adapt,
    AddDefinitions,
    AddMethods,
    AddModule,
    AppendToBody,
    Drop,
    HasGlobal,
    InsertBefore,
    LacksMethod,
    Once,
    PrependToBody,
    Rename,
    RequireKnown,
    RequireNeverRead,
    Step,
    Where,
)
from patches import SHARED
from patches.shared.anchors import (
    CAPTURE,
    INIT_STATE,
    KNOWN_REPLAY,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    OWN_PRECOMPUTE,
    REPLAY,
    gate,
)

FUSED_GATE = "SGLANG_NSA_USE_TRITON_METADATA"
KERNELS = "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
BACKEND = "NativeSparseAttnBackend"
MULTI_STEP = "NativeSparseAttnMultiStepBackend"
PAYLOAD = SHARED / "nsa_backend.py"
DIRECT = SHARED / "triton_direct_launch.py"
FILL = "fill_metadata_inplace"


def kernels(payload: Path) -> AddModule:
    """The step that adds what a patch calls to the one kernel module."""
    return AddModule(file=KERNELS, payload=payload / "triton_metadata_kernel.py")


def read_gate(
    name: str, payload: Path, constant: str, adapt: tuple[Adapt, ...] = ()
) -> tuple[Step, ...]:
    """The steps that declare a gate and read it, once, into a constant."""
    return (
        gate(name),
        Once(
            AddDefinitions(
                file=NSA_BACKEND,
                after="NSAIndexerMetadata",
                payload=payload / "nsa_backend.py",
                names=(constant,),
                adapt=adapt,
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


# One line in the server's log for each way that is taken.
LOG_ROUTE = Once(
    AddDefinitions(
        file=NSA_BACKEND,
        after="NSAIndexerMetadata",
        payload=PAYLOAD,
        names=("log_metadata_route",),
    )
)

# DeepGEMM's schedule, which the backends keep from 0.5.7 on.
REFRESH = "_refresh_paged_mqa_schedule"
SCHEDULE = Where(
    AddMethods(
        file=NSA_BACKEND,
        cls=BACKEND,
        after=REPLAY,
        payload=PAYLOAD,
        source="RefreshSchedule",
        adapt=(
            Rename(
                old="metadata.nsa_seqlens_expanded",
                new="_to_2d_context_lens(metadata.nsa_seqlens_expanded, bs)",
                when=HasGlobal("_to_2d_context_lens"),
            ),
        ),
    ),
    has=OWN_PRECOMPUTE,
)

# One launch that rewrites one backend's metadata.
FILL_METADATA: tuple[Step, ...] = (
    *KNOWN_REPLAY,
    LOG_ROUTE,
    # Once: a later patch may have edited it by then.
    Once(kernels(SHARED)),
    Once(SCHEDULE),
    Once(
        AddMethods(
            file=NSA_BACKEND,
            cls=BACKEND,
            after=REPLAY,
            payload=PAYLOAD,
            source="FillMetadata",
            adapt=(
                *OLDER_NSA_BACKEND,
                Drop(
                    statement=f"self.{REFRESH}(metadata, bs)",
                    when=LacksMethod(BACKEND, REFRESH),
                ),
            ),
        )
    ),
)

# The kernel is launched at every replay: past Triton's own launcher.
DIRECT_LAUNCH: tuple[Step, ...] = (
    Once(
        AddDefinitions(
            file=KERNELS,
            after="_metadata_kernel",
            payload=DIRECT,
            names=("_compiled", "_launches", "_direct_launch"),
        )
    ),
    Once(
        PrependToBody(
            file=KERNELS, function=FILL, payload=DIRECT, source=f"Kept.{FILL}"
        )
    ),
    Once(
        InsertBefore(
            file=KERNELS,
            function=FILL,
            anchor="_metadata_kernel[grid](*inputs, *buffers, *numbers)",
            payload=DIRECT,
            source=f"Keep.{FILL}",
        )
    ),
)

# One launch, where a gate of its own switches it.
FUSED: tuple[Step, ...] = (
    *FILL_METADATA,
    *DIRECT_LAUNCH,
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
