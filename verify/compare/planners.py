"""Why what a planner outside the tree makes is wrong, though the lengths it is of are right.

A worker's stand-ins count what they are asked ("asked get_mla_metadata(...)"), so that a
planner which was asked for something else can be told from a kernel of the tree that makes
the same and is mistaken. What a real planner is asked nobody counts.
"""

from __future__ import annotations

from verify.worker.protocol import Played

_LENGTHS = "its lengths are the same on both sides"
# By a part of the field's name: who makes it, and the function that is asked.
_PLANNERS = {
    "schedule": ("DeepGEMM", "get_paged_mqa_logits_metadata"),
    "topk": ("top-k", "plan_topk_v2"),
    "flashmla": ("FlashMLA", "get_mla_metadata"),
}
_PHASES = ("replay", "graph")


def why_wrong(field: str, old: Played, new: Played) -> str:
    """What is known of a planned field that holds a wrong value."""
    for part, (name, function) in _PLANNERS.items():
        if part in field:
            return _why(name, _asked(old, function), _asked(new, function))
    return _LENGTHS


def _why(name: str, old: list[str], new: list[str]) -> str:
    if not old:
        return _LENGTHS
    if not new:
        return f"{_LENGTHS}, and {name} was not asked: the tree's own kernel made it"
    wrong = [given for given in new if given not in old]
    if wrong:
        right = next((given for given in old if given not in new), old[0])
        return f"{_LENGTHS}: {name} was asked with {wrong[0]}, not {right}"
    return (
        f"{_LENGTHS}: {name} was asked with others, or not all of its answer is there"
    )


def _asked(played: Played, function: str) -> list[str]:
    """With what, each once: shapes and plain values."""
    head = f"asked {function}"
    found = [
        name.removeprefix(head)
        for phase in _PHASES
        for name in played["counts"].get(phase, {})
        if name.startswith(f"{head}(")
    ]
    return list(dict.fromkeys(found))
