"""Look closer at a buffer whose bytes differ: the first element, how many, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verify.outcome import Difference, Spread

if TYPE_CHECKING:
    import torch

Json = dict[str, Any]
_GRID = (24, 72)


@dataclass(frozen=True)
class Evidence:
    """Flat integer tensors of one whole root, guard bands included.

    before_old, before_new: after the replay before; start: after poisoning.
    """

    start: torch.Tensor
    before_old: torch.Tensor
    before_new: torch.Tensor
    old: torch.Tensor
    new: torch.Tensor


@dataclass(frozen=True)
class _Place:
    """A field, or a guard band, that contains an element of a root."""

    field: str
    index: tuple[int, ...]
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    guard: str = ""


def look(
    group: str, root: str, replay: int, bs: int, layout: Json, evidence: Evidence
) -> Difference:
    """`layout` is the baseline's layout of this group at this replay."""
    if evidence.old.shape != evidence.new.shape:
        return Difference(
            "layout", group, root, replay, bs,
            old=f"{evidence.old.numel()} elements", new=f"{evidence.new.numel()} elements",
        )  # fmt: skip
    differing = (evidence.old != evidence.new).nonzero().reshape(-1)
    places = [_place(layout, root, int(e), bs) for e in differing[:4096]]
    at = next((i for i, p in enumerate(places) if not p.guard), 0)
    element, place = int(differing[at]), places[at]
    guards = any(p.guard for p in places)
    return Difference(
        what=place.guard or _why(evidence, element),
        group=group,
        field=place.field,
        replay=replay,
        bs=bs,
        index=place.index,
        old=str(int(evidence.old[element])),
        new=str(int(evidence.new[element])),
        count=int(differing.numel()),
        total=int(evidence.old.numel()),
        note="guard bands changed too" if guards and not place.guard else "",
        spread=_spread(place, differing),
    )


def _why(evidence: Evidence, element: int) -> str:
    """Told from the poison and the replay before: who wrote the element, and when."""
    start = int(evidence.start[element])
    old, new = int(evidence.old[element]), int(evidence.new[element])
    if old == start:
        return "untouched region changed"
    if new == start:
        return "not written (still poison)"
    if new == int(evidence.before_new[element]) != old:
        return "stale (left from an earlier replay)"
    if old == int(evidence.before_old[element]):
        return "changed where the baseline kept the earlier value"
    return "wrong value"


def _place(layout: Json, root: str, element: int, bs: int) -> _Place:
    """The field that has this element: of the replayed batch size if it has one."""
    candidates = []
    for path, (owner, offset, shape, stride, _) in layout["views"].items():
        if owner == root:
            index = _unravel(element - offset, shape, stride)
            if index is not None:
                candidates.append((not path.startswith(f"bs{bs}."), path, index))
                place = _Place(path, index, offset, tuple(shape), tuple(stride))
                if path.startswith(f"bs{bs}."):
                    return place
    if candidates:
        _, path, index = min(candidates)
        _, offset, shape, stride, _ = layout["views"][path]
        return _Place(path, index, offset, tuple(shape), tuple(stride))
    return _Place(root, (), 0, (), (), _outside(element, *layout["sizes"][root]))


def _outside(element: int, _total: int, first: int, extent: int) -> str:
    if first < 0:
        return f"element {element} of a storage that no field shows"
    if element < first:
        return f"guard band: {first - element} elements before the buffer"
    if element >= first + extent:
        return f"guard band: {element - first - extent + 1} elements past the buffer"
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


def _spread(place: _Place, differing: torch.Tensor) -> Spread | None:
    """Counts of differing elements over the field, squeezed into a small grid."""
    if not place.shape:
        return None
    rows, columns = (1, *place.shape)[-2:]
    stride = place.stride[0] if len(place.shape) > 1 else max(1, columns)
    inside = differing - place.offset
    inside = inside[(inside >= 0) & (inside < rows * stride)]
    row, column = inside // stride, inside % stride
    keep = column < columns
    height, width = min(rows, _GRID[0]), min(columns, _GRID[1])
    cell = (row[keep] * height // rows) * width + column[keep] * width // columns
    counts = cell.bincount(minlength=height * width).reshape(height, width)
    cells = tuple(tuple(int(v) for v in line) for line in counts)
    return Spread(tuple(place.shape), cells)
