"""Compute a decode batch's metadata in one Triton launch, for any batch size.

Source: document 001, whose single-block CUDA kernel stopped at a batch of 256.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR, REPLAY_KERNEL
from patches.shared.releases import FIRST_DSA, OTHER_BACKEND, OWN_GENERATION

ABOUT = About(
    name="fused-decode",
    version="1",
    summary="compute the draft steps' metadata in one Triton launch",
    source="document 001",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="if NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle():",
    unfit={**dict.fromkeys(FIRST_DSA, OTHER_BACKEND), "C": OWN_GENERATION},
    routes=(
        RouteData(
            "fused",
            ("decode", "decode@runner"),
            must=(BASE_CALL, REPLAY_KERNEL),
            must_not=PAIR,
            every=(REPLAY_KERNEL, (BASE_CALL,)),
            kernels=True,
        ),
        RouteData(
            "fused-decode",
            ("decode", "decode@runner"),
            beside=("precompute",),
            must=(*PAIR, REPLAY_KERNEL),
            must_not=(BASE_CALL,),
            every=(REPLAY_KERNEL, PAIR),
            kernels=True,
        ),
        RouteData(
            "no-kernel",
            ("decode",),
            blocked=("triton.compile",),
            must=(BASE_CALL,),
            must_not=(*NO_KERNEL, *PAIR),
            brief=True,
            timed=False,
        ),
    ),
)
