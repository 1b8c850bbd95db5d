"""Compute a decode batch's metadata in one Triton launch, for any batch size.

Source: document 001, whose single-block CUDA kernel stopped at a batch of 256.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, PAIR
from patches.shared.releases import OWN_GENERATION

ABOUT = About(
    name="fused-decode",
    version="1",
    summary="compute the draft steps' metadata in one Triton launch",
    source="document 001",
    gate="SGLANG_NSA_USE_TRITON_METADATA",
    sign="_precompute_decode_mode_fused",
    requires=("precompute",),
    unfit={"C": OWN_GENERATION},
    routes=(
        RouteData(
            "fused-decode",
            ("decode", "decode@runner"),
            must=(*PAIR, "replay kernel *decode*"),
            must_not=(BASE_CALL, "replay kernel *fan_out*"),
            every=("replay kernel *decode*", PAIR),
            kernels=True,
        ),
    ),
)
