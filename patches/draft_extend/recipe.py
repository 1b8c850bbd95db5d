"""Rewrite draft_extend metadata in place, in one Triton launch and without a sync.

Source: document 004.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddMethods, PrependToBody
from patches import HERE
from patches.draft_extend.about import ABOUT
from patches.shared.anchors import (
    KNOWN_REPLAY,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
)
from patches.shared.fused import FUSED_METADATA, kernels

PAYLOAD = HERE / "draft_extend" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *KNOWN_REPLAY,
        *FUSED_METADATA,
        kernels(PAYLOAD),
        AddMethods(
            file=NSA_BACKEND,
            cls="NativeSparseAttnBackend",
            after=REPLAY,
            payload=PAYLOAD / "nsa_backend.py",
            source="FusedDraftExtend",
            adapt=OLDER_NSA_BACKEND,
        ),
        PrependToBody(
            file=NSA_BACKEND,
            function=f"NativeSparseAttnBackend.{REPLAY}",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"FusedDraftExtendDispatch.{REPLAY}",
        ),
    ),
)
