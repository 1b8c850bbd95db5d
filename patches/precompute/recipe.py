"""Compute the draft steps' replay metadata once and copy it to every step backend.

Source: document 000; the idea is sgl-project/sglang#14781.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddDefinitions, AddMethods, Choose, PrependToBody
from patches import HERE
from patches.precompute.about import ABOUT
from patches.shared.anchors import (
    DRAFT_EXTEND_BY_TOKEN,
    KNOWN_REPLAY,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
    gate,
)

PAYLOAD = HERE / "precompute" / "payload" / "nsa_backend.py"


def draft_extend_mode(source: str) -> AddMethods:
    """The method that computes draft_extend, for one layout of its rows."""
    return AddMethods(
        file=NSA_BACKEND,
        cls="NativeSparseAttnBackend",
        after="_precompute_target_verify_mode",
        payload=PAYLOAD,
        source=source,
    )


PATCH = Patch(
    ABOUT,
    steps=(
        *KNOWN_REPLAY,
        gate(ABOUT.gate),
        AddDefinitions(
            file=NSA_BACKEND,
            after="compute_cu_seqlens",
            payload=PAYLOAD,
            names=("PrecomputedMetadata",),
        ),
        AddMethods(
            file=NSA_BACKEND,
            cls="NativeSparseAttnBackend",
            after=REPLAY,
            payload=PAYLOAD,
            source="PrecomputedReplay",
            adapt=OLDER_NSA_BACKEND,
        ),
        Choose(
            file=NSA_BACKEND,
            when=DRAFT_EXTEND_BY_TOKEN,
            then=draft_extend_mode("DraftExtendByToken"),
            otherwise=draft_extend_mode("DraftExtendByRequest"),
        ),
        PrependToBody(
            file=NSA_BACKEND,
            function=f"NativeSparseAttnMultiStepBackend.{REPLAY}",
            payload=PAYLOAD,
            source=f"MultiStepReplay.{REPLAY}",
        ),
    ),
)
