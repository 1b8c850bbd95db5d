"""Rewrite draft_extend metadata in place, in one Triton launch and without a sync.

Source: document 004.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR, REPLAY_KERNEL
from patches.shared.releases import (
    DRAFT_EXTEND_BY_REQUEST,
    FIRST_DSA,
    OTHER_BACKEND,
    OWN_GENERATION,
    RELEASES_BY_REQUEST,
)

ABOUT = About(
    name="draft-extend",
    version="1",
    summary="rewrite draft_extend metadata in one Triton launch, without a sync",
    source="document 004",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="if NSA_USE_TRITON_METADATA and forward_mode.is_draft_extend():",
    unfit={
        **dict.fromkeys(RELEASES_BY_REQUEST, DRAFT_EXTEND_BY_REQUEST),
        **dict.fromkeys(FIRST_DSA, OTHER_BACKEND),
        "C": OWN_GENERATION,
    },
    routes=(
        RouteData(
            "fused",
            ("draft_extend",),
            must=(BASE_CALL, REPLAY_KERNEL),
            must_not=PAIR,
            every=(REPLAY_KERNEL, ("replay begun",)),
            kernels=True,
            best=True,
        ),
        RouteData(
            "fused",
            ("draft_extend",),
            beside=("precompute",),
            must=(*PAIR, REPLAY_KERNEL),
            pair=True,
            kernels=True,
            timed=False,
        ),
        RouteData(
            "no-kernel",
            ("draft_extend",),
            blocked=("triton.compile",),
            must=(BASE_CALL,),
            must_not=(*NO_KERNEL, *PAIR),
        ),
    ),
)
