"""What is timed against what: the original, the tree's routes, other releases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from patcher.disk.preconditions import current
from patcher.results import Reason, Refusal, require_known
from patcher.tree.find import find_tree
from patches import all_about
from verify.bench.points import MODES
from verify.routes import GATES, OWN_GATES, ROUTES, Route, available
from verify.sides import kernels as own_kernels
from verify.sides import source
from verify.sides.snapshot import snapshot
from verify.sides.source import Source

ORIGINAL = "original"


@dataclass(frozen=True)
class Side:
    """One column: its code, its gates, and how it is driven.

    kind   "original", "route", "release" or "twin": timed to be subtracted, never shown
    twin   name of the side to subtract: the same tree with the route's gates off.
           Such a route fills a graph: that one's runner is driven, and the graph timed
    best   on the points of curves too
    mended the release's own way without its mistakes: what outputs are compared with
    """

    name: str
    kind: str
    modes: tuple[str, ...]
    source: Source
    snapshot: Path
    files: Mapping[str, str]
    gates: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    twin: str = ""
    best: bool = True
    mended: bool = False

    @property
    def env(self) -> dict[str, str]:
        return {gate: "1" if gate in self.gates else "0" for gate in GATES}

    @property
    def graph(self) -> bool:
        return self.kind == "twin" or bool(self.twin)

    @property
    def process(self) -> tuple[object, ...]:
        """Sides with the same key share a worker process; never two of one point."""
        return self.snapshot, self.gates, self.blocked, self.kind == "twin"


def resolve(
    tree: Path,
    against: Sequence[str],
    wanted: Sequence[str],
    folder: Path,
    progress: Callable[[str], None],
    quick: bool = False,
    kernels: bool = False,
) -> tuple[Side, ...]:
    """All sides, their modules written below `folder`. Raises `Refusal`.

    kernels: with what the releases compile at run time.
    """
    known = dict.fromkeys(route.name for route in ROUTES)
    require_known(wanted, known, "route", "--route")
    if current(find_tree(tree)).kind in ("original", "restored", "unknown"):
        hint = "apply-nsa-opt first: its originals are what a bench compares with"
        raise Refusal(Reason(str(tree), "", "has no patches applied", hint))
    pair = source.resolve(tree, None, progress)

    def side(name: str, kind: str, code: Source, beside: Source) -> Side:
        place = folder / str(len(list(folder.iterdir())))
        files = snapshot(code, beside, place)
        if kernels:
            own_kernels.copy(code.read, place)
        return Side(name, kind, MODES, code, place, files)

    # Later families precompute by themselves, in a server that nobody configured.
    own = () if pair.candidate.family == "A" else OWN_GATES
    original = side(ORIGINAL, "original", pair.baseline, pair.candidate)
    candidate = side("", "route", pair.candidate, pair.baseline)
    sides = [replace(original, gates=own)]
    sides += mended_sides(replace(candidate, gates=own))
    sides += route_sides(replace(candidate, gates=own), wanted, quick)
    for text in against:
        other = source.resolve(tree, text, progress).baseline
        name = _unused(other.release if Path(text).is_dir() else text, sides)
        found = side(name, "release", other, pair.baseline)
        sides.append(replace(found, gates=GATES))
    return tuple(sides)


def of_point(sides: Sequence[Side], mode: str, every: bool) -> tuple[Side, ...]:
    """The sides that a point of this mode is measured on."""
    found = [side for side in sides if mode in side.modes]
    best = [side for side in found if side.best]
    if every or not any(side.kind == "route" for side in best):
        return tuple(found)
    return tuple(best)


def mended_sides(candidate: Side) -> list[Side]:
    """The release's own way, with what was wrong with it put right: as correct as ours."""
    patches = _ours(candidate.source)
    return [
        replace(candidate, name=about.name, modes=("decode",), mended=True)
        for about in all_about()
        if not about.routes and about.name in patches
    ]


def route_sides(candidate: Side, wanted: Sequence[str], quick: bool) -> list[Side]:
    """Routes that patches share in other modes, with the same gates, are one side."""
    found: dict[object, Side] = {}
    for route in _routes(candidate.source):
        if route.pair or not _asked(route, wanted, quick):
            continue
        for side in _sides(candidate, route):
            key = side.name, side.process
            modes = dict.fromkeys((*found.get(key, side).modes, *side.modes))
            found[key] = replace(side, modes=tuple(modes))
    lacking = [name for name in wanted if name not in {s.name for s in found.values()}]
    if lacking:
        what = f"has no route {lacking[0]!r}: its patch is not in the tree"
        label = candidate.source.label
        raise Refusal(Reason(label, "", what, "apply-nsa-opt --list"))
    return list(found.values())


def _ours(code: Source) -> frozenset[str]:
    """The patches in it. Later families have a precompute of their own, by the same names."""
    if code.family == "A":
        return code.patches()
    return frozenset(patch.partition(" ")[0] for patch in code.applied)


def _routes(code: Source) -> tuple[Route, ...]:
    """Those of the tree's family that its patches bring."""
    patches = _ours(code)
    if code.family == "C":
        return tuple(r for r in ROUTES if r.dsa and set(r.patches) <= patches)
    return available(patches, family=code.family)


def _asked(route: Route, wanted: Sequence[str], quick: bool) -> bool:
    """The patches' own, if none was named; quick ones do without fallbacks.

    Never that of a server with no gate set: it is one of the others once more.
    """
    if route.unset:
        return False
    if wanted:
        return route.name in wanted
    return bool(route.patch) and route.timed and not (quick and route.blocked)


def _sides(candidate: Side, route: Route) -> Iterable[Side]:
    """The route's side, with the twin that it needs if it lives in a graph."""
    modes = [mode.partition("@")[0] for mode in route.modes]
    twin = _TWINS.get(route.modes, "")
    kernels = [must for must in route.must if must.startswith(_KERNEL)]
    gates = tuple(dict.fromkeys((*route.on, *candidate.gates)))
    side = replace(
        candidate, name=route.name, modes=tuple(dict.fromkeys(modes)), gates=gates,
        blocked=route.blocked, twin=twin, best=route.best,
        kernels=tuple(kernel.removeprefix(_KERNEL) for kernel in kernels),
    )  # fmt: skip
    yield side
    if twin:
        # All of the route's: of two patches, either alone may fill the graph too.
        own = candidate.gates
        yield replace(side, name=twin, kind="twin", twin="", gates=own, kernels=())


_KERNEL = "replay kernel "
_TWINS: dict[tuple[str, ...], str] = {
    ("decode@runner",): "the draft's graph, gates off",
    ("target_verify@runner",): "target_verify's graph, gates off",
}


def _unused(name: str, sides: Sequence[Side]) -> str:
    taken = {side.name for side in sides}
    names = (name if i == 1 else f"{name} ({i})" for i in range(1, 100))
    return next(n for n in names if n not in taken)
