"""Rewrite draft_extend metadata in place, in one Triton launch and without a sync.

Source: document 004.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR
from patches.shared.releases import (
    DRAFT_EXTEND_BY_REQUEST,
    OWN_GENERATION,
    RELEASES_BY_REQUEST,
)

ABOUT = About(
    name="draft-extend",
    version="1",
    summary="rewrite draft_extend metadata in one Triton launch, without a sync",
    source="document 004",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="_replay_draft_extend_metadata_fused",
    unfit={
        **dict.fromkeys(RELEASES_BY_REQUEST, DRAFT_EXTEND_BY_REQUEST),
        "C": OWN_GENERATION,
    },
    routes=(
        RouteData(
            "fused",
            ("draft_extend",),
            must=(BASE_CALL, "replay kernel *{mode}*"),
            every=("replay kernel *{mode}*", ("replay begun",)),
            kernels=True,
            best=True,
        ),
        RouteData(
            "fused",
            ("draft_extend",),
            beside=("precompute",),
            must=PAIR,
            pair=True,
            kernels=True,
            timed=False,
        ),
        RouteData(
            "no-triton",
            ("draft_extend",),
            blocked=("triton",),
            must=(BASE_CALL,),
            must_not=NO_KERNEL,
        ),
    ),
)
