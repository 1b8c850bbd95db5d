"""What a comparison can come to, as values. Printing happens in the CLI's renderer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """Where in a buffer elements differ: rows x columns squeezed into a small grid.

    shape: of the field; cells: [rows][cols] numbers of differing elements.
    """

    shape: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Difference:
    """One buffer (or one layout fact) that differs, at the first element that does.

    what      "wrong value", "untouched region changed", "not written", "stale",
              "guard band", "layout", "state", "input"
    group     "backend 2", "inputs", "given" (to this replay), "seen" (in the graph)
    field     metadata field as the tree names it, with the captured batch size
    replay    1-based; 0 is the state before any replay
    """

    what: str
    group: str
    field: str
    replay: int
    bs: int
    index: tuple[int, ...] = ()
    old: str = ""
    new: str = ""
    count: int = 0
    total: int = 0
    note: str = ""
    spread: Spread | None = None

    def line(self) -> str:
        """The part of a failure line after `mode/route: `."""
        where = f"{self.field} of {self.group}"
        when = (
            f"replay {self.replay} (bs {self.bs})" if self.replay else "after capture"
        )
        at = f", index {_index(self.index)}" if self.index else ""
        values = f": old {self.old}, new {self.new}"
        many = f" ({self.count} of {self.total} elements)" if self.total else ""
        note = f"; {self.note}" if self.note else ""
        return f"{where}, {when}{at}{values}{many}: {self.what}{note}"


@dataclass(frozen=True)
class Identical:
    """Every buffer equal after every replay."""

    replays: int
    buffers: int
    bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Different:
    """At least one difference; at most one entry a buffer, the earliest."""

    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Broken:
    """No verdict: a side crashed, hung, was killed, ran out of memory or cannot run it.

    kind: "crash", "timeout", "killed", "memory", "raised"
    """

    kind: str
    side: str
    message: str
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotRun:
    reason: str


Outcome = Identical | Different | Broken | NotRun


@dataclass(frozen=True)
class Case:
    """One scenario on one route, under one poison."""

    route: str
    mode: str
    scenario: str
    seed: int
    poison: int
    outcome: Outcome
    seconds: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)


def _index(index: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, index))})"
