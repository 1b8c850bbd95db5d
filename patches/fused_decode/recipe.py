"""Compute a decode batch's metadata in one Triton launch, for any batch size.

Source: document 001, whose single-block CUDA kernel stopped at a batch of 256.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddMethods, PrependToBody
from patches import HERE
from patches.fused_decode.about import ABOUT
from patches.shared.anchors import NSA_BACKEND, OLDER_NSA_BACKEND
from patches.shared.fused import FUSED_METADATA, kernels

PAYLOAD = HERE / "fused_decode" / "payload"


def prepend(method: str) -> PrependToBody:
    """The fused path at the head of a backend's method."""
    return PrependToBody(
        file=NSA_BACKEND,
        function=f"NativeSparseAttnBackend.{method}",
        payload=PAYLOAD / "nsa_backend.py",
        source=f"FusedDecodeDispatch.{method}",
    )


PATCH = Patch(
    ABOUT,
    steps=(
        *FUSED_METADATA,
        kernels(PAYLOAD),
        AddMethods(
            file=NSA_BACKEND,
            cls="NativeSparseAttnBackend",
            after="_precompute_replay_metadata",
            payload=PAYLOAD / "nsa_backend.py",
            source="FusedDecode",
            adapt=OLDER_NSA_BACKEND,
        ),
        prepend("_precompute_replay_metadata"),
        prepend("init_forward_metadata_replay_cuda_graph_from_precomputed"),
    ),
)
