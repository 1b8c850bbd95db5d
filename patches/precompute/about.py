"""Compute the draft steps' replay metadata once and copy it to every step backend.

Source: document 000; the idea is sgl-project/sglang#14781.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR
from patches.shared.releases import OWN_PRECOMPUTE

ABOUT = About(
    name="precompute",
    version="1",
    summary="compute the draft steps' metadata once, copy it N times",
    source="https://github.com/sgl-project/sglang/pull/14781",
    gate="SGLANG_NSA_ENABLE_MTP_PRECOMPUTE_METADATA",
    sign="PrecomputedMetadata",
    unfit={"B": OWN_PRECOMPUTE, "C": OWN_PRECOMPUTE},
    routes=(
        RouteData(
            "precomputed",
            ("decode", "decode@runner"),
            must=PAIR,
            must_not=(*NO_KERNEL, BASE_CALL),
        ),
        RouteData(
            "precomputed",
            ("target_verify", "draft_extend"),
            must=(BASE_CALL, *PAIR),
            must_not=NO_KERNEL,
        ),
        RouteData(
            "precomputed",
            ("target_verify", "draft_extend"),
            must=PAIR,
            must_not=(*NO_KERNEL, BASE_CALL),
            pair=True,
            timed=False,
        ),
    ),
)
