"""Fill target_verify's metadata inside its CUDA graph: a replay launches nothing.

Source: upstream's own hook, `init_forward_metadata_in_graph`, which its runner calls there.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import NO_CALL

HOST_LENGTHS = "its target_verify takes the longest length from the host"

ABOUT = About(
    name="verify-in-graph",
    version="1",
    summary="fill target_verify's metadata inside its CUDA graph",
    source="sgl-project/sglang's init_forward_metadata_in_graph",
    gate="SGLANG_NSA_VERIFY_METADATA_IN_GRAPH",
    sign="DSA_VERIFY_METADATA_IN_GRAPH",
    families=("C",),
    unfit=dict.fromkeys(("0.5.13", "0.5.13.post1", "0.5.14"), HOST_LENGTHS),
    routes=(
        RouteData(
            "verify-in-graph",
            ("target_verify@runner",),
            must=("graph kernel _fused_dsa_*", "graph call _apply_cuda_graph_metadata"),
            must_not=(*NO_CALL, "replay kernel *"),
            kernels=True,
            best=True,
            families=("C",),
        ),
        RouteData(
            "verify-gate-off",
            ("target_verify@runner",),
            must=("replay kernel _fused_dsa_*",),
            must_not=("graph kernel *", "graph call *"),
            every=("replay kernel _fused_dsa_*", ("replay begun",)),
            kernels=True,
            brief=True,
            timed=False,
            off=True,
            families=("C",),
        ),
    ),
)
