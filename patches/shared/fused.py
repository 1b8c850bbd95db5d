"""What several patches insert: the kernel's method, and buffers that steps share."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    Adapt,
    AddDefinitions,
    AddMethods,
    AppendToBody,
    Drop,
    HasGlobal,
    HasMethod,
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
from patches.shared.kernels import KERNELS, direct_launch, kernels, scheduling_kernels

FUSED_GATE = "SGLANG_NSA_USE_TRITON_METADATA"
BACKEND = "NativeSparseAttnBackend"
MULTI_STEP = "NativeSparseAttnMultiStepBackend"
PAYLOAD = SHARED / "nsa_backend.py"
REFRESH = "_refresh_paged_mqa_schedule"
GET_SCHEDULE = "deep_gemm.get_paged_mqa_logits_metadata"
# From 0.5.12 on DeepGEMM takes the lengths as [tokens, 1].
TAKES_ROWS = HasGlobal("_to_2d_context_lens")
# What the payload does with the schedule, in the releases that keep none.
WITHOUT_SCHEDULE: tuple[Adapt, ...] = tuple(
    Drop(statement=statement, when=LacksMethod(BACKEND, REFRESH))
    for statement in (
        f"self.{REFRESH}(metadata, bs)",
        "first.schedule_remainder = first._find_schedule_remainder()",
    )
)


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
        adapt=(*OLDER_NSA_BACKEND, *WITHOUT_SCHEDULE),
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

FIND_REMAINDER = Where(
    AddMethods(
        file=NSA_BACKEND,
        cls=BACKEND,
        after=REPLAY,
        payload=PAYLOAD,
        source="FindRemainder",
        adapt=(
            Rename(
                old=GET_SCHEDULE,
                new=f"lambda lens, *sizes: {GET_SCHEDULE}(lens.flatten(), *sizes)",
                when=lambda module: not TAKES_ROWS(module),
            ),
        ),
    ),
    has=OWN_PRECOMPUTE,
)
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
                when=TAKES_ROWS,
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
    Once(Where(kernels(SHARED), lacks=OWN_PRECOMPUTE)),
    *(Once(Where(step, has=OWN_PRECOMPUTE)) for step in scheduling_kernels(KERNELS)),
    Once(FIND_REMAINDER),
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
                *WITHOUT_SCHEDULE,
                Rename(
                    old="(req_pool_indices, source, self.nsa_index_topk)",
                    new="(req_pool_indices, source, self.nsa_index_topk, self.schedule_remainder)",
                    when=HasMethod(BACKEND, REFRESH),
                ),
            ),
        )
    ),
)

# The kernel is launched at every replay: past Triton's own launcher.
DIRECT_LAUNCH: tuple[Step, ...] = tuple(map(Once, direct_launch(KERNELS)))

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
