"""Compute the draft steps' replay metadata once and copy it to every step backend.

Source: document 000; the idea is sgl-project/sglang#14781.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddDefinitions, AddMethods, Choose
from patches import HERE
from patches.precompute.about import ABOUT
from patches.shared.anchors import (
    DRAFT_EXTEND_BY_TOKEN,
    KNOWN_REPLAY,
    NSA_BACKEND,
    OLDER_NSA_BACKEND,
    REPLAY,
)
from patches.shared.fused import BACKEND, LOG_ROUTE, MULTI_STEP, prepend, read_gate

PAYLOAD = HERE / "precompute" / "payload"


def draft_extend_mode(source: str) -> AddMethods:
    """The method that computes draft_extend, for one layout of its rows."""
    return AddMethods(
        file=NSA_BACKEND,
        cls=BACKEND,
        after="_precompute_target_verify_mode",
        payload=PAYLOAD / "nsa_backend.py",
        source=source,
    )


PATCH = Patch(
    ABOUT,
    steps=(
        *KNOWN_REPLAY,
        LOG_ROUTE,
        *read_gate(ABOUT.gate, PAYLOAD, "NSA_PRECOMPUTE_METADATA"),
        AddDefinitions(
            file=NSA_BACKEND,
            after="compute_cu_seqlens",
            payload=PAYLOAD / "nsa_backend.py",
            names=("PrecomputedMetadata",),
        ),
        AddMethods(
            file=NSA_BACKEND,
            cls=BACKEND,
            after=REPLAY,
            payload=PAYLOAD / "nsa_backend.py",
            source="PrecomputedReplay",
            adapt=OLDER_NSA_BACKEND,
        ),
        Choose(
            file=NSA_BACKEND,
            when=DRAFT_EXTEND_BY_TOKEN,
            then=draft_extend_mode("DraftExtendByToken"),
            otherwise=draft_extend_mode("DraftExtendByRequest"),
        ),
        prepend(PAYLOAD, "ExpandedReplay", REPLAY),
        prepend(PAYLOAD, "MultiStepReplay", REPLAY, MULTI_STEP),
    ),
)
