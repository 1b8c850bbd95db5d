"""Rewrite target_verify metadata in place, in one Triton launch or vectorised.

Source: document 002.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR, REPLAY_KERNEL
from patches.shared.releases import FIRST_DSA, OTHER_BACKEND, OWN_GENERATION

ABOUT = About(
    name="target-verify",
    version="1",
    summary="rewrite target_verify metadata in one Triton launch",
    source="document 002",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="if NSA_USE_TRITON_METADATA and forward_mode.is_target_verify():",
    families=("A", "B"),
    unfit={**dict.fromkeys(FIRST_DSA, OTHER_BACKEND), "C": OWN_GENERATION},
    routes=(
        RouteData(
            "fused",
            ("target_verify",),
            must=(BASE_CALL, REPLAY_KERNEL),
            must_not=PAIR,
            every=(REPLAY_KERNEL, ("replay begun",)),
            kernels=True,
            best=True,
        ),
        RouteData(
            "no-kernel",
            ("target_verify",),
            blocked=("triton.compile",),
            must=(BASE_CALL,),
            must_not=(*NO_KERNEL, *PAIR),
        ),
    ),
)
