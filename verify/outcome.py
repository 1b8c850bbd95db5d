"""What a comparison can come to, as values. Printing happens in the CLI's renderer."""

from __future__ import annotations

from dataclasses import dataclass


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
              "guard band", "layout", "state", "an input was written", ...
    owner     "backend 2", "inputs", "given" (to this replay), "seen" (in the graph)
    field     metadata field as the tree names it, with the captured batch size
    replay    1-based; 0 is the state before any replay
    bs        captured batch size that the replay used; 0 right after a capture
    batch     what the replay was given, as a scenario writes it
    index     of the element in the field; old, new: its values
    count     differing elements of `total` in the buffer, guard bands not counted
    """

    what: str
    owner: str
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
    batch: str = ""

    def line(self) -> str:
        """The part of a failure line after `mode/route: `."""
        when = self._when()
        at = f", index {_index(self.index)}" if self.index else ""
        values = f": old {self.old}, new {self.new}"
        many = f" ({self.count:,} of {self.total:,} elements)" if self.count else ""
        note = f"; {self.note}" if self.note else ""
        where = f"{self.field} of {self.owner}"
        what = _WORDS.get(self.what, self.what)
        return f"{where}{when}{at}{values}{many}: {what}{note}"

    def _when(self) -> str:
        if self.bs:
            return f", replay {self.replay} (bs {self.bs})"
        if self.owner == "the candidate":
            return ""
        after = f", re-captured after replay {self.replay}" if self.replay else ""
        return after or ", before the first replay"

    @property
    def of_a_plan(self) -> bool:
        """Whether a kernel outside the tree computes it from lengths."""
        return any(name in self.field for name in _CAUSES[5:])

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """What comes first is nearer to the cause: inputs last, plans after lengths."""
        by_name = (i for i, name in enumerate(_CAUSES) if name in self.field)
        consequence = next(by_name, 0)
        aside = self.owner in ("inputs", "given", "seen")
        return self.what == "state", self.replay, aside, consequence


_WORDS = {
    "state": "a plain value that the forward pass reads",
    "layout": "another tensor than before: shape, type or memory",
}
# A buffer is computed from those of the names before its own.
_CAUSES = (
    "cache_seqlens", "seqlens_expanded", "cu_seqlens", "page_table", "real_page_table",
    "schedule", "plan", "flashmla", "num_splits",
)  # fmt: skip


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
    """No comparison: a side died, hung, cannot run it, or did not take the route.

    kind: "crash", "timeout", "killed", "memory", "raised", "route", "sanitizer"
    where: the last lines that it printed, or of its stack
    """

    kind: str
    side: str
    message: str
    where: tuple[str, ...] = ()

    @property
    def of_the_candidate(self) -> bool:
        """Whether the candidate alone is to blame, and not the machine."""
        its_own = ("crash", "timeout", "raised", "route")
        return self.side == "candidate" and self.kind in its_own


@dataclass(frozen=True)
class NotRun:
    """Neither side could; `reason` says why."""

    reason: str


Outcome = Identical | Different | Broken | NotRun


@dataclass(frozen=True)
class Case:
    """One scenario on one route, under one poison.

    mode: a ForwardMode, and the driver after an @ if it is not the usual one.
    """

    route: str
    mode: str
    scenario: str
    seed: int
    poison: int
    outcome: Outcome
    seconds: float = 0.0

    @property
    def place(self) -> str:
        """Where it stands in the matrix: `mode/route`."""
        return f"{self.mode}/{self.route}"

    @property
    def failed(self) -> bool:
        return isinstance(self.outcome, Different | Broken)


def _index(index: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, index))})"
