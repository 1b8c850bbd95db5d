"""Compare two sides' observations of the same scenario: layout, state, every byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

from verify.outcome import Difference
from verify.worker.protocol import Extent, Layout, Observation, Owned, Played, View


@dataclass(frozen=True)
class ByteMismatch:
    """A storage whose bytes differ in an observation (`at`, an index); old, new: sha256."""

    at: int
    owner: str
    storage: str
    old: str
    new: str


@dataclass(frozen=True)
class Compared:
    """Facts that differ, storages whose bytes differ, and how much was compared.

    buffers: storages, over all observations; bytes: theirs, guard bands included.
    """

    facts: tuple[Difference, ...]
    mismatches: tuple[ByteMismatch, ...]
    buffers: int
    bytes: int
    notes: tuple[str, ...]


def compare(
    old: Played, new: Played, *, shares: bool, drops: tuple[str, ...] = ()
) -> Compared:
    """Both sides' replies to one Play.

    shares: the candidate's step backends may alias each other's buffers. drops: buffers
    that it does without, a pattern for backends and one for what a step sees.
    """
    old, new = (_without(played, drops) for played in (old, new))
    script_old = [(o["replay"], o["bs"]) for o in old["observations"]]
    script_new = [(o["replay"], o["bs"]) for o in new["observations"]]
    if script_old != script_new:
        fact = Difference(
            "state", "the candidate", "captured batch sizes used", 0, 0,
            old=str(script_old), new=str(script_new),
        )  # fmt: skip
        return Compared((fact,), (), 0, 0, ())
    facts: dict[tuple[str, str], Difference] = {}
    mismatches: dict[tuple[str, str], ByteMismatch] = {}
    notes: dict[str, None] = {}
    buffers = size = 0
    pairs = zip(old["observations"], new["observations"], strict=True)
    for at, (a, b) in enumerate(pairs):
        layout_a, layout_b = old["layouts"][a["layout"]], new["layouts"][b["layout"]]
        found, more = _layouts(layout_a, layout_b, shares)
        for fact in found:
            key = fact.owner, fact.field
            here = replace(fact, replay=a["replay"], bs=a["bs"], batch=a["batch"])
            facts.setdefault(key, here)
        notes.update(dict.fromkeys(more))
        for owner, storages in a["digests"].items():
            buffers += len(storages)
            extents = layout_a["owners"][owner]["storages"]
            for storage, digest in storages.items():
                extent = extents[storage]
                size += extent["elements"] * extent["width"]
                other = b["digests"].get(owner, {}).get(storage)
                if other is not None and other != digest:
                    mismatch = ByteMismatch(at, owner, storage, digest, other)
                    mismatches.setdefault((owner, storage), mismatch)
    return Compared(
        tuple(facts.values()), tuple(mismatches.values()), buffers, size, tuple(notes)
    )


def _without(played: Played, drops: tuple[str, ...]) -> Played:
    """The reply as if there were no such buffers."""
    if not drops:
        return played

    def kept(owner: str, found: Mapping[str, Any]) -> dict[str, Any]:
        pattern = drops[1] if owner == "seen" else drops[0]
        return {path: v for path, v in found.items() if not fnmatch(path, pattern)}

    layouts = [
        Layout(
            owners={
                owner: Owned(
                    views=kept(owner, owned["views"]),
                    plain=kept(owner, owned["plain"]),
                    shared=kept(owner, owned["shared"]),
                    storages=kept(owner, owned["storages"]),
                )
                for owner, owned in layout["owners"].items()
            },
            state=layout["state"],
        )
        for layout in played["layouts"]
    ]
    observations = [
        Observation(
            replay=one["replay"],
            bs=one["bs"],
            batch=one["batch"],
            layout=one["layout"],
            digests={o: kept(o, found) for o, found in one["digests"].items()},
        )
        for one in played["observations"]
    ]
    return {**played, "layouts": layouts, "observations": observations}


def _layouts(
    old: Layout, new: Layout, shares: bool
) -> tuple[list[Difference], list[str]]:
    """Facts that differ, and notes on what only the candidate has."""
    if old == new:
        return [], []
    found = _states(old["state"], new["state"])
    notes: list[str] = []
    for owner, a in old["owners"].items():
        b = new["owners"].get(owner)
        if b is None:
            what = "a step backend too few"
            found.append(_fact(what, owner, "everything", "present", "missing"))
            continue
        found += _lacking("layout", owner, a["views"], b["views"], _view)
        found += _lacking("state", owner, a["plain"], b["plain"], str)
        found += _lacking("layout", owner, a["storages"], b["storages"], _extent)
        if not shares:
            found += _shared(owner, a, b)
        notes += [
            f"{path} of {owner}: only the candidate has it, not compared"
            for path in b["views"]
            if path not in a["views"]
        ]
    notes += [
        f"{owner}: only the candidate has it"
        for owner in new["owners"]
        if owner not in old["owners"]
    ]
    return found, notes


def _lacking(
    what: str,
    owner: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    describe: Callable[[Any], str],
) -> list[Difference]:
    found = []
    for path, value in old.items():
        if path not in new:
            found.append(_fact("layout", owner, path, "present", "missing"))
        elif new[path] != value:
            a, b = describe(value), describe(new[path])
            found.append(_fact(what, owner, path, a, b))
    return found


def _shared(owner: str, old: Owned, new: Owned) -> list[Difference]:
    lost = [
        _fact("layout", owner, path, f"shared with {other}", "its own memory")
        for path, other in old["shared"].items()
        if path not in new["shared"]
    ]
    gained = [
        _fact("layout", owner, path, "its own memory", f"shared with {other}")
        for path, other in new["shared"].items()
        if path not in old["shared"]
    ]
    return lost + gained


def _view(view: View) -> str:
    return (
        f"{view['dtype']} {view['shape']} stride {view['stride']} at {view['offset']} "
        f"of {view['storage']}"
    )


def _extent(extent: Extent) -> str:
    elements, first, length = extent["elements"], extent["first"], extent["length"]
    return f"{elements} elements, data at {first}, {length} long"


def _states(
    old: Mapping[str, Mapping[str, object]], new: Mapping[str, Mapping[str, object]]
) -> list[Difference]:
    return [
        _fact("state", owner, key, str(value), str(new.get(owner, {}).get(key)))
        for owner, values in old.items()
        for key, value in values.items()
        if new.get(owner, {}).get(key) != value
    ]


def _fact(what: str, owner: str, field: str, old: str, new: str) -> Difference:
    return Difference(what, owner, field, 0, 0, old=old, new=new)
