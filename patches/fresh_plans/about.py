"""Refresh what DeepGEMM and top-k v2 plan from the lengths, in every draft step.

Source: what `verify-nsa-opt --baseline in-tree` found; see docs/upstream.
"""

from __future__ import annotations

from patcher.about import About

ABOUT = About(
    name="fresh-plans",
    version="1",
    summary="refresh the DeepGEMM schedule and the top-k plan of every draft step",
    source="docs/upstream",
    gate="SGLANG_NSA_REFRESH_REPLAY_PLANS",
    sign="SGLANG_NSA_REFRESH_REPLAY_PLANS",
    families=("B", "C"),
    unfit={"A": "every draft step refreshes its own there"},
)
