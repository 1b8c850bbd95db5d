"""The kernel module that several patches share: its text, and how it is launched."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import (
    Adapt,
    AddDefinitions,
    AddModule,
    AddParameter,
    HasGlobal,
    InsertAfter,
    InsertBefore,
    PrependToBody,
    Rename,
    Step,
)
from patches import SHARED

KERNELS = "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
DIRECT = SHARED / "triton_direct_launch.py"
FILL = "fill_metadata_inplace"


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
)


def direct_launch(
    file: str,
    *adapt: Adapt,
    kernel: str = "_metadata_kernel",
    fill: str = FILL,
    within: str = "",
) -> tuple[Step, ...]:
    """The steps that launch `kernel` past Triton's own launcher, as replays do.

    fill: the function that launches it, in its own function `within` if it has one.
    """
    adapt = (*_KEPT_SCHEDULE, Rename(old="_metadata_kernel", new=kernel), *adapt)
    return (
        AddDefinitions(
            file=file,
            after=kernel,
            payload=DIRECT,
            names=("_compiled", "_launches", "_direct_launch"),
            adapt=adapt,
        ),
        PrependToBody(
            file=file,
            function=fill,
            payload=DIRECT,
            source=f"Kept.{fill}",
            adapt=adapt,
        ),
        InsertBefore(
            file=file,
            function=f"{fill}.{within}" if within else fill,
            anchor=f"{kernel}[grid](*inputs, *buffers, *numbers)",
            payload=DIRECT,
            source=f"Keep.{FILL}",
            adapt=adapt,
        ),
    )
