"""What several patches insert: the kernel, its method, and buffers that steps share."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    Adapt,
    AddDefinitions,
    AddMethods,
    AddModule,
    AddParameter,
    AppendToBody,
    Drop,
    HasGlobal,
    HasMethod,
    InsertAfter,
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


def kernels(payload: Path) -> AddModule:
    """The step that adds what a patch calls to the one kernel module."""
    return AddModule(file=KERNELS, payload=payload / "triton_metadata_kernel.py")


# From 0.5.7 on the backends keep DeepGEMM's schedule, and the kernel makes it too.
_TAKES_SCHEDULE: tuple[Adapt, ...] = (
    Rename(old="list(range(16))", new="list(range(17))"),
    # The first programs make the schedule, the last one the sums.
    Rename(
        old="tl.program_id(0) == 0",
        new="tl.program_id(0) == tl.num_programs(0) - 1",
    ),
    *(
        AddParameter(function=function, parameter=new, after=after)
        for function, new, after in (
            ("_metadata_kernel", "schedule", "real_page_table"),
            ("_metadata_kernel", "NUM_SMS: tl.constexpr", "MAX_SEQS"),
            ("_metadata_kernel", "REMAINDER: tl.constexpr", "NUM_SMS"),
            (FILL, "remainder: Optional[str]", "nsa_index_topk"),
        )
    ),
    *(
        Rename(old=f"({items})", new=f"({items}, {more})")
        for items, more in (
            ("m.nsa_cache_seqlens_int32, m.nsa_cu_seqlens_k, *tables[1:]", "schedule"),
            (
                "m.page_size, tile, max(32, triton.next_power_of_2(bs))",
                "num_sms, remainder",
            ),
        )
    ),
)


def scheduling_kernels(file: str, *adapt: Adapt) -> tuple[Step, ...]:
    """The steps that add the kernel with the schedule in it, and what finds its formula.

    `adapt` is what the names of another family need.
    """
    payload = SHARED / "triton_schedule.py"
    each_token = tuple(
        Rename(
            old=f"tl.load(seq_lens + {token}, mask={mask}, other=0)",
            new=f"_seen_by({token}, bs, seq_lens, DRAFT_TOKENS)",
        )
        for token, mask in (
            ("start + seqs", "start + seqs < bs"),
            ("start + rows", "there"),
        )
    )
    return (
        AddModule(
            file=file,
            payload=SHARED / "triton_metadata_kernel.py",
            adapt=(*_TAKES_SCHEDULE, *adapt),
        ),
        AddDefinitions(
            file=file,
            after="_is_broken",
            payload=SHARED / "triton_draft_metadata_kernel.py",
            names=("_schedule_kernel", "_launched", "find_remainder"),
            adapt=(
                AddParameter(
                    function="_schedule_kernel",
                    parameter="DRAFT_TOKENS: tl.constexpr = 0",
                    after="REMAINDER",
                ),
                *each_token,
            ),
        ),
        AddDefinitions(
            file=file, after="_is_broken", payload=payload, names=("_seen_by",)
        ),
        InsertAfter(
            file=file,
            function="_metadata_kernel",
            anchor="most: tl.constexpr = DRAFT_TOKENS if DRAFT_TOKENS > 0 else 1",
            payload=payload,
            source="MakeSchedule._metadata_kernel",
            adapt=adapt,
        ),
        InsertBefore(
            file=file,
            function=FILL,
            anchor="is_extend = extend_seq_lens is not None",
            payload=payload,
            source=f"MakeSchedule.{FILL}",
            adapt=adapt,
        ),
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

# As the kernel that makes the schedule takes it.
_SCHEDULES = HasGlobal("find_remainder")
_KEPT_SCHEDULE: tuple[Adapt, ...] = (
    AddParameter(
        function=FILL,
        parameter="remainder: Optional[str]",
        after="nsa_index_topk",
        when=_SCHEDULES,
    ),
    Rename(
        old="(nsa_index_topk, draft_tokens, extend_seq_lens is None, max_cols)",
        new="(nsa_index_topk, remainder, draft_tokens, extend_seq_lens is None, max_cols)",
        when=_SCHEDULES,
    ),
    Rename(
        old='11 if "constexpr" in compiled.src.signature.values() else 5',
        new='13 if "constexpr" in compiled.src.signature.values() else 5',
        when=_SCHEDULES,
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
            adapt=_KEPT_SCHEDULE,
        )
    ),
    Once(
        PrependToBody(
            file=KERNELS,
            function=FILL,
            payload=DIRECT,
            source=f"Kept.{FILL}",
            adapt=_KEPT_SCHEDULE,
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
