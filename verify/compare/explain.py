"""Explain a buffer whose bytes differ: the first element, how many, where, and why."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from verify.outcome import Difference, Spread
from verify.worker.protocol import Extent, Observation, Owned, View

_GRID = (24, 72)
_CHUNK = 4096  # elements
_CODES = {1: "B", 2: "h", 4: "i", 8: "q"}
_NOT_WRITTEN = "not written (still poison)"
_STALE = "stale (left from an earlier replay)"
_FOLLOWS = {
    "paged_mqa_schedule_metadata": "so the indexer is slow",
    "topk_v2_plan": "so KV slots are wrong beyond 65,536 tokens at batch sizes 31-512",
}
"""What a server sees of a buffer that was not refreshed."""

_LEFT = "a capture left another value"
_PLACES = 4096  # differing elements that are looked at for one outside a guard band


@dataclass(frozen=True)
class Stored:
    """One storage's bytes, guard bands included. width: bytes an element."""

    data: bytes
    width: int

    @cached_property
    def values(self) -> array[int]:
        """The elements as integers of their width, whatever they mean: [elements]."""
        values = array(_CODES[self.width])
        values.frombytes(self.data)
        return values

    def __len__(self) -> int:
        return len(self.data) // self.width

    def differs(self, other: Stored, start: int, end: int) -> bool:
        """Whether any element in [start, end) differs."""
        span = slice(start * self.width, end * self.width)
        return self.data[span] != other.data[span]

    def count(self, other: Stored, start: int, end: int) -> int:
        """Differing elements in [start, end)."""
        if not self.differs(other, start, end):
            return 0
        pairs = self.values[start:end], other.values[start:end]
        return sum(map(operator.ne, *pairs))

    def differing(self, other: Stored) -> Iterator[int]:
        """Indices of differing elements, in their order."""
        for start in range(0, len(self), _CHUNK):
            end = min(len(self), start + _CHUNK)
            if self.differs(other, start, end):
                mine, theirs = self.values, other.values
                yield from (i for i in range(start, end) if mine[i] != theirs[i])


@dataclass(frozen=True)
class Contents:
    """One storage at five moments, all of one size.

    start: after poisoning; before_old, before_new: in the observation before.
    """

    start: Stored
    before_old: Stored
    before_new: Stored
    old: Stored
    new: Stored


@dataclass(frozen=True)
class _Place:
    """A field, or a guard band, that contains an element of a storage."""

    field: str
    index: tuple[int, ...]
    view: View | None
    guard: str = ""


def explain(
    owner: str,
    storage: str,
    observation: Observation,
    owned: Owned,
    contents: Contents,
) -> Difference:
    """`owned` is the baseline's layout of this owner in this observation."""
    old, new = contents.old, contents.new
    replay, bs, batch = observation["replay"], observation["bs"], observation["batch"]
    if len(old.data) != len(new.data):
        return Difference(
            "layout", owner, storage, replay, bs,
            old=f"{len(old.data)} bytes", new=f"{len(new.data)} bytes", batch=batch,
        )  # fmt: skip
    if old.data == new.data:
        return Difference(
            "the hashes differ, the bytes do not",
            owner,
            storage,
            replay,
            bs,
            batch=batch,
        )
    extent = owned["storages"][storage]
    element, place, guards = _first(old, new, owned, storage, bs)
    first, end = _data(extent)
    what = place.guard or (_why(contents, element, owner) if bs else _LEFT)
    notes = ["guard bands changed too"] if guards and not place.guard else []
    if what in (_NOT_WRITTEN, _STALE):
        notes += [text for name, text in _FOLLOWS.items() if place.field.endswith(name)]
    return Difference(
        what=what,
        owner=owner,
        field=place.field,
        replay=replay,
        bs=bs,
        index=place.index,
        old=str(old.values[element]),
        new=str(new.values[element]),
        count=old.count(new, first, end),
        total=end - first,
        note="; ".join(notes),
        spread=_spread(place.view, old, new),
        batch=batch,
    )


def _data(extent: Extent) -> tuple[int, int]:
    if extent["first"] < 0:
        return 0, extent["elements"]
    return extent["first"], extent["first"] + extent["length"]


def _first(
    old: Stored, new: Stored, owned: Owned, storage: str, bs: int
) -> tuple[int, _Place, bool]:
    """The first differing element in a field, else the first in a guard band."""
    found: tuple[int, _Place] | None = None
    for number, element in enumerate(old.differing(new)):
        place = _place(owned, storage, element, bs)
        if found is None or not place.guard:
            found = element, place
        if not place.guard or number >= _PLACES:
            break
    assert found is not None
    first, end = _data(owned["storages"][storage])
    outside = old.count(new, 0, first) + old.count(new, end, len(old))
    return *found, bool(outside)


def _why(contents: Contents, element: int, owner: str) -> str:
    """Told from the poison and the replay before: who wrote the element, and when."""
    start = contents.start.values[element]
    old, new = contents.old.values[element], contents.new.values[element]
    if owner in ("inputs", "given"):
        return "an input was written"
    if old == start:
        return "untouched region changed"
    if new == start:
        return _NOT_WRITTEN
    if new == contents.before_new.values[element] != old:
        return _STALE
    if old == contents.before_old.values[element]:
        return "changed where the baseline kept the earlier value"
    return "wrong value"


def _place(owned: Owned, storage: str, element: int, bs: int) -> _Place:
    """The field that has this element: of the replayed batch size if it has one."""
    candidates = []
    for path, view in owned["views"].items():
        if view["storage"] == storage:
            offset = element - view["offset"]
            index = _unravel(offset, view["shape"], view["stride"])
            if index is not None:
                if path.startswith(f"bs{bs}."):
                    return _Place(path, index, view)
                candidates.append((path, index))
    if candidates:
        path, index = min(candidates)
        return _Place(path, index, owned["views"][path])
    return _Place(storage, (), None, _outside(element, owned["storages"][storage]))


def _outside(element: int, extent: Extent) -> str:
    def count(number: int) -> str:
        return f"{number} element" if number == 1 else f"{number} elements"

    first, end = extent["first"], extent["first"] + extent["length"]
    if first < 0:
        return f"element {element} of a storage that no field shows"
    if element < first:
        return f"guard band: {count(first - element)} before the buffer"
    if element >= end:
        return f"guard band: {count(element - end + 1)} past the buffer"
    return f"element {element - first} of a buffer, in no field"


def _unravel(
    offset: int, shape: list[int], stride: list[int]
) -> tuple[int, ...] | None:
    """The index of a flat offset in a view, or None where the view lacks it."""
    index = [0] * len(shape)
    for axis in sorted(range(len(shape)), key=lambda a: -stride[a]):
        if stride[axis] == 0 or offset < 0:
            continue
        index[axis] = min(offset // stride[axis], shape[axis] - 1)
        offset -= index[axis] * stride[axis]
    return tuple(index) if offset == 0 and 0 not in shape else None


def _spread(view: View | None, old: Stored, new: Stored) -> Spread | None:
    """Counts of differing elements over the field, squeezed into a small grid."""
    if view is None or 0 in view["shape"] or view["stride"][-1:] != [1]:
        return None
    rows, columns = (1, *view["shape"])[-2:]
    stride = view["stride"][0] if len(view["shape"]) > 1 else columns
    height, width = min(rows, _GRID[0]), min(columns, _GRID[1])
    cells = [[0] * width for _ in range(height)]
    for row in range(rows):
        begin = view["offset"] + row * stride
        if not old.differs(new, begin, begin + columns):
            continue
        line = cells[row * height // rows]
        edges = [begin + -(-cell * columns // width) for cell in range(width + 1)]
        for cell in range(width):
            line[cell] += old.count(new, edges[cell], edges[cell + 1])
    return Spread(tuple(view["shape"]), tuple(map(tuple, cells)))
