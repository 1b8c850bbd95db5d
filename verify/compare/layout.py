"""Compare two sides' observations of the same scenario: layout, state, every byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from verify.outcome import Difference

Json = dict[str, Any]


@dataclass(frozen=True)
class ByteMismatch:
    """A root whose bytes differ after a replay; the parent fetches and looks closer."""

    replay: int
    group: str
    root: str
    old: str
    new: str


@dataclass(frozen=True)
class Compared:
    """Facts that differ, roots whose bytes differ, and what was looked at."""

    facts: tuple[Difference, ...]
    mismatches: tuple[ByteMismatch, ...]
    buffers: int
    bytes: int
    notes: tuple[str, ...]


def compare(old: Json, new: Json, *, shares: bool) -> Compared:
    """`old` and `new` are the workers' replies to a play request.

    shares: the candidate's step backends may alias each other's buffers.
    """
    facts: dict[tuple[str, str], Difference] = {}
    mismatches: dict[tuple[str, str], ByteMismatch] = {}
    notes: dict[str, None] = {}
    buffers = size = 0
    if old["bs"] != new["bs"]:
        fact = Difference(
            "state", "the script", "captured batch sizes used", 0, 0,
            old=str(old["bs"]), new=str(new["bs"]),
        )  # fmt: skip
        return Compared((fact,), (), 0, 0, ())
    for replay, (a, b) in enumerate(zip(old["looks"], new["looks"], strict=True)):
        layout_a, layout_b = old["layouts"][a["layout"]], new["layouts"][b["layout"]]
        found, more = _layouts(layout_a, layout_b, shares)
        for difference in found:
            at = Difference(**{**difference, "replay": replay, "bs": old["bs"][replay]})
            facts.setdefault((at.group, at.field), at)
        notes.update(dict.fromkeys(more))
        for group, roots in a["digests"].items():
            buffers += len(roots)
            for root, digest in roots.items():
                size += layout_a[group]["sizes"][root][0] * 4
                other = b["digests"].get(group, {}).get(root)
                if other is not None and other != digest:
                    mismatches.setdefault(
                        (group, root), ByteMismatch(replay, group, root, digest, other)
                    )
    return Compared(
        tuple(facts.values()), tuple(mismatches.values()), buffers, size, tuple(notes)
    )


def _layouts(old: Json, new: Json, shares: bool) -> tuple[list[Json], list[str]]:
    """Differences as Difference fields, and notes on what only the candidate has."""
    if old == new:
        return [], []
    found: list[Json] = []
    notes: list[str] = []
    for group in old:
        if group == "plain":
            found += _dicts("state", old[group], new[group])
            continue
        if group not in new:
            found.append(_fact("layout", group, "the backend", "present", "missing"))
            continue
        a, b = old[group], new[group]
        for part, describe in _PARTS.items():
            if part == "shared":
                found += _shared(group, a[part], b[part], shares)
                continue
            for path, value in a[part].items():
                if path not in b[part]:
                    found.append(_fact("layout", group, path, "present", "missing"))
                elif b[part][path] != value:
                    what = "state" if part == "plain" else "layout"
                    other = b[part][path]
                    found.append(
                        _fact(what, group, path, describe(value), describe(other))
                    )
        notes += [
            f"{path} of {group}: only the candidate has it, not compared"
            for path in b["views"]
            if path not in a["views"]
        ]
    notes += [
        f"{group}: only the candidate has it" for group in new if group not in old
    ]
    return found, notes


def _shared(group: str, old: Json, new: Json, allowed: bool) -> list[Json]:
    lost = [
        _fact("layout", group, path, f"shared with {owner}", "its own memory")
        for path, owner in old.items()
        if path not in new and not allowed
    ]
    gained = [
        _fact("layout", group, path, "its own memory", f"shared with {owner}")
        for path, owner in new.items()
        if path not in old and not allowed
    ]
    return lost + gained


def _view(value: list[Any]) -> str:
    root, offset, shape, stride, dtype = value
    return f"{dtype} {shape} stride {stride} at {offset} of {root}"


def _size(value: list[int]) -> str:
    return f"{value[0]} elements, data at {value[1]}, {value[2]} long"


_PARTS: dict[str, Callable[[Any], str]] = {
    "views": _view,
    "plain": str,
    "sizes": _size,
    "shared": str,
}


def _dicts(what: str, old: Json, new: Json) -> list[Json]:
    return [
        _fact(what, group, key, str(value), str(new.get(group, {}).get(key)))
        for group, values in old.items()
        for key, value in values.items()
        if new.get(group, {}).get(key) != value
    ]


def _fact(what: str, group: str, field: str, old: str, new: str) -> Json:
    return {"what": what, "group": group, "field": field, "old": old, "new": new}
