"""Rewrite draft_extend metadata in place, in one Triton launch and without a sync.

Source: document 004.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import HasMethod, Where
from patches import HERE
from patches.draft_extend.about import ABOUT
from patches.shared.anchors import NSA_BACKEND, REPLAY
from patches.shared.fused import BACKEND, FUSED, prepend
from patches.shared.kernels import kernels

EXPAND = "_expand_draft_extend_seqlens"
WITH_PRECOMPUTE = HasMethod(BACKEND, EXPAND)

PAYLOAD = HERE / "draft_extend" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *FUSED,
        prepend(PAYLOAD, "FusedDraftExtendDispatch", REPLAY),
        Where(kernels(PAYLOAD), when=WITH_PRECOMPUTE, of=NSA_BACKEND),
        Where(
            prepend(PAYLOAD, "FusedDraftExtendDispatch", EXPAND), when=WITH_PRECOMPUTE
        ),
    ),
)
