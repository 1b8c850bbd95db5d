"""Compute a decode batch's metadata in one Triton launch, for any batch size.

Source: document 001, whose single-block CUDA kernel stopped at a batch of 256.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddMethods, HasMethod, Once, Step, Where
from patches import HERE
from patches.fused_decode.about import ABOUT
from patches.shared.anchors import NSA_BACKEND, OLDER_NSA_BACKEND, REPLAY
from patches.shared.fused import BACKEND, FUSED, prepend
from patches.shared.kernels import kernels

PRECOMPUTE = "_precompute_replay_metadata"
WITH_PRECOMPUTE = HasMethod(BACKEND, PRECOMPUTE)

PAYLOAD = HERE / "fused_decode" / "payload"

# One launch that computes a decode batch's metadata into buffers of its own.
COMPUTE: tuple[Step, ...] = (
    Where(kernels(PAYLOAD), when=WITH_PRECOMPUTE, of=NSA_BACKEND),
    Where(
        Once(
            AddMethods(
                file=NSA_BACKEND,
                cls=BACKEND,
                after=PRECOMPUTE,
                payload=PAYLOAD / "nsa_backend.py",
                source="FusedDecode",
                adapt=OLDER_NSA_BACKEND,
            )
        ),
        when=WITH_PRECOMPUTE,
    ),
)

PATCH = Patch(
    ABOUT,
    steps=(
        *FUSED,
        prepend(PAYLOAD, "FusedDecodeDispatch", REPLAY),
        *COMPUTE,
        *(
            Where(prepend(PAYLOAD, "FusedDecodeDispatch", m), when=WITH_PRECOMPUTE)
            for m in (PRECOMPUTE, f"{REPLAY}_from_precomputed")
        ),
    ),
)
