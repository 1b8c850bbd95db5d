"""Rewrite target_verify metadata in place, in one Triton launch or vectorised.

Source: document 002.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR
from patches.shared.releases import OWN_GENERATION

ABOUT = About(
    name="target-verify",
    version="1",
    summary="rewrite target_verify metadata in one Triton launch",
    source="document 002",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="_replay_target_verify_metadata",
    unfit={"C": OWN_GENERATION},
    routes=(
        RouteData(
            "fused",
            ("target_verify",),
            must=(BASE_CALL, "replay kernel *{mode}*"),
            every=("replay kernel *{mode}*", ("replay begun",)),
            kernels=True,
            best=True,
        ),
        RouteData(
            "fused",
            ("target_verify",),
            beside=("precompute",),
            must=PAIR,
            pair=True,
            kernels=True,
            timed=False,
        ),
        RouteData(
            "no-triton",
            ("target_verify",),
            blocked=("triton",),
            must=(BASE_CALL,),
            must_not=NO_KERNEL,
        ),
    ),
)
