"""What is timed against what: the original, the tree's routes, other releases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from patcher.disk import manifest
from patcher.results import Exit, Reason, Refusal
from patcher.tree.find import find_tree
from patches import all_about
from verify.routes import GATES, ROUTES, Route
from verify.routes import available as available_routes
from verify.sides import source as sources

ORIGINAL = "original"
IN_GRAPH_OFF = "in-graph, gate off"
_DEFAULT = (
    ("decode", "precomputed"),
    ("decode", "fused-decode"),
    ("decode", "fan-out"),
    ("decode", "in-graph"),
    ("target_verify", "fused"),
    ("target_verify", "no-triton"),
    ("draft_extend", "fused"),
    ("draft_extend", "no-triton"),
)
_BEST = ("fan-out", "in-graph", "fused")


@dataclass(frozen=True)
class Side:
    """One column: its code, its gates, and how it is driven.

    kind   "original", "route", "release" or "twin": the twin is the in-graph route's
           tree with only that gate off, timed to be subtracted, never shown
    graph  drive the tree's own draft runner, whose graph is timed too
    """

    name: str
    kind: str
    modes: tuple[str, ...]
    snapshot: Path
    label: str
    release: str
    env: tuple[tuple[str, str], ...]
    blocked: tuple[str, ...] = ()
    graph: bool = False
    kernels: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    @property
    def process(self) -> tuple[object, ...]:
        """Sides with the same key share a worker process; never two of one point."""
        return self.snapshot, self.env, self.blocked, self.kind == "twin"


def resolve(
    tree: Path,
    against: Sequence[str],
    wanted: Sequence[str],
    folder: Path,
    progress: Callable[[str], None],
    quick: bool = False,
) -> tuple[Side, ...]:
    """All sides, their modules written below `folder`. Raises `Refusal`."""
    if manifest.load(find_tree(tree)) is None:
        hint = "apply-nsa-opt first: the originals to compare with are in its manifest"
        raise Refusal(Reason(str(tree), "", "has no patches applied", hint))
    pair = sources.resolve(tree, None, progress)
    old, new = folder / "original", folder / "candidate"
    old_files = sources.snapshot(pair.baseline, pair.candidate, old)
    new_files = sources.snapshot(pair.candidate, pair.baseline, new)
    sides = [
        Side(
            ORIGINAL, "original", ("decode", "target_verify", "draft_extend"), old,
            pair.baseline.label, pair.baseline.release, _env(()),
            files=tuple(old_files.items()),
        )
    ]  # fmt: skip
    candidate = replace(
        sides[0], kind="route", snapshot=new, label=pair.candidate.label,
        files=tuple(new_files.items()),
    )  # fmt: skip
    sides += _routes(candidate, pair.candidate, wanted, quick)
    for i, text in enumerate(against):
        other = sources.resolve(tree, text, progress).baseline
        place = folder / f"against-{i}"
        files = sources.snapshot(other, pair.baseline, place)
        name = _unused(text if not Path(text).is_dir() else other.release, sides)
        gates = GATES
        sides.append(
            replace(
                sides[0], name=name, kind="release", snapshot=place, env=_env(gates),
                label=other.label, release=other.release, files=tuple(files.items()),
            )
        )  # fmt: skip
    return tuple(sides)


def of_point(sides: Sequence[Side], mode: str, every: bool) -> tuple[Side, ...]:
    """The sides that a point of this mode is measured on."""
    found = [side for side in sides if mode in side.modes]
    if every:
        return tuple(found)
    best = [s for s in found if s.kind != "route" or s.name in _BEST]
    return tuple(best if any(s.kind == "route" for s in best) else found)


def _routes(
    candidate: Side, source: sources.Source, wanted: Sequence[str], quick: bool
) -> list[Side]:
    _check(wanted)
    found: list[Side] = []
    for route in available_routes(source.patches()):
        modes = tuple(m for m in _modes(route) if _asked(m, route.name, wanted, quick))
        if not modes or route.pair:
            continue
        same = next((s for s in found if s.name == route.name), None)
        if same is not None:  # another patch brings it in other modes
            found[found.index(same)] = replace(same, modes=(*same.modes, *modes))
            continue
        graph = route.name == "in-graph"
        found.append(
            replace(
                candidate, name=route.name, modes=modes, env=_env(route.on),
                blocked=route.blocked, graph=graph, kernels=_kernels(route),
            )
        )  # fmt: skip
        if graph:
            own = next(a.gate for a in all_about() if a.name == route.patch)
            off = tuple(gate for gate in route.on if gate != own)
            twin = replace(found[-1], name=IN_GRAPH_OFF, kind="twin", env=_env(off))
            found.append(replace(twin, kernels=()))
    lacking = [n for n in wanted if n not in {side.name for side in found}]
    if lacking:
        what = f"has no route {lacking[0]!r}: its patch is not in the tree"
        raise Refusal(Reason(candidate.label, "", what, "apply-nsa-opt --list"))
    return found


def _check(wanted: Sequence[str]) -> None:
    known = tuple(dict.fromkeys(route.name for route in ROUTES))
    for name in wanted:
        if name not in known:
            what = f"unknown route {name!r}; known: {', '.join(known)}"
            raise Refusal(Reason("--route", "", what, "see --help"), code=Exit.USAGE)


def _modes(route: Route) -> tuple[str, ...]:
    names = ["decode" if mode.startswith("decode") else mode for mode in route.modes]
    return tuple(dict.fromkeys(names))


def _asked(mode: str, name: str, wanted: Sequence[str], quick: bool) -> bool:
    if wanted:
        return name in wanted
    return (mode, name) in _DEFAULT and not (quick and name == "no-triton")


def _kernels(route: Route) -> tuple[str, ...]:
    """Name patterns of kernels that the call must launch for the route to have run."""
    head = "replay kernel "
    return tuple(p.removeprefix(head) for p in route.must if p.startswith(head))


def _env(on: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((gate, "1" if gate in on else "0") for gate in GATES)


def _unused(name: str, sides: Sequence[Side]) -> str:
    taken = {side.name for side in sides}
    names = (name if i == 1 else f"{name} ({i})" for i in range(1, 100))
    return next(n for n in names if n not in taken)
