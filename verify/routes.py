"""The routes through a tree: which gates are set, and which of its paths is driven.

They come out of the patches' `about.py`; only those that run what the release had are
written here.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product

from patcher.about import About, RouteData
from patches import all_about
from patches.shared.evidence import BASE_CALL, NO_KERNEL, PAIR

DECODE = ("decode", "decode@runner")
EXPANDED = ("target_verify", "draft_extend")
PLAIN = "decode@plain"
_DRIVERS = {
    "decode": "multi",
    "decode@runner": "runner",
    "target_verify@runner": "verify-runner",
}
_LOOPS = {"multi": "loop", "runner": "loop-runner", "verify-runner": "base-runner"}
# A patch without routes mends what others run: its gate stays as the user has it.
GATES = tuple(dict.fromkeys(about.gate for about in all_about() if about.routes))
OFF = dict.fromkeys(GATES, "0")
EVERY_GATE = tuple(dict.fromkeys(about.gate for about in all_about()))
# Upstream's own, from 0.5.7 to 0.5.14.
OWN_GATES = tuple(a.gate for a in all_about() if a.name == "precompute")


# The release's own way out, where what is in its way fails: then that did not run.
FELL_BACK = "replay fell back"


@dataclass(frozen=True)
class Route(RouteData):
    """One column of the matrix.

    patch     whose it is; empty: what the release had, with every gate off
    patches   all that must be in the tree
    on        gates that are on; all the others are off
    unset     no gate variable is set at all: what a server has that nobody configured
    few       how many scenarios are enough, 0 for all of them
    dsa       of family C
    released  our gates are off, and the originals' own replay, with their own gates as
              here, is what it has to equal, with all that it leaves stale
    """

    patch: str = ""
    patches: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    unset: bool = False
    few: int = 0
    dsa: bool = False
    released: bool = False

    @property
    def label(self) -> str:
        return f"{self.name} (pair)" if self.pair else self.name

    @property
    def env(self) -> dict[str, str | None]:
        if self.unset:
            return dict.fromkeys(GATES)
        gates = EVERY_GATE if self.released else GATES
        return {gate: "1" if gate in self.on else "0" for gate in gates}

    @property
    def worker(self) -> tuple[object, ...]:
        """Routes with the same key can share a worker process."""
        return self.on, self.unset, self.blocked, self.released

    def missing(self, mode: str, counts: dict[str, dict[str, int]]) -> list[str]:
        """In words, what a scenario's evidence lacks or has too much of for this route."""
        seen = [f"{phase} {name}" for phase, names in counts.items() for name in names]
        lacks = [
            f"no {pattern}"
            for pattern in (must.format(mode=mode) for must in self.must)
            if not _matches(pattern, seen)
        ]
        if self.every is not None and not lacks:
            pattern, others = self.every
            found = _count(pattern.format(mode=mode), counts)
            wanted = sum(_count(other, counts) for other in others)
            if found < wanted:
                lacks.append(
                    f"{found} {pattern.format(mode=mode)} where {wanted} belong"
                )
        unwanted = [
            found
            for pattern in (*self.must_not, FELL_BACK)
            for found in _matches(pattern.format(mode=mode), seen)
        ]
        return lacks + [f"unwanted: {found}" for found in dict.fromkeys(unwanted)]

    def driver(self, mode: str) -> str:
        """The driver for a scenario's mode (verify.worker.play.play)."""
        if self.pair:
            return "pair"
        return _DRIVERS.get(mode, "base")


_ORIGINAL = (
    RouteData(
        "per-backend",
        DECODE,
        must=(BASE_CALL,),
        must_not=(*NO_KERNEL, *PAIR),
        brief=True,
    ),
    RouteData("original", EXPANDED, must=(BASE_CALL,), must_not=NO_KERNEL),
)


def _routes() -> tuple[Route, ...]:
    by_name = {about.name: about for about in all_about()}
    found = [Route(**vars(data)) for data in _ORIGINAL]
    for about in by_name.values():
        for data in about.routes:
            patches = _closure((about.name, *data.beside), by_name)
            on = tuple(dict.fromkeys(by_name[name].gate for name in patches))
            on = () if data.off else on
            dsa = "C" in data.families
            found.append(
                Route(**vars(data), patch=about.name, patches=patches, on=on, dsa=dsa)
            )
    return tuple(found)


def _closure(names: Collection[str], by_name: dict[str, About]) -> tuple[str, ...]:
    """The patches and all that they require, in canonical order."""
    needed = set(names)
    for name in reversed(by_name):
        if name in needed:
            needed |= set(by_name[name].requires)
    return tuple(name for name in by_name if name in needed)


ROUTES = _routes()
DEFAULTS = "defaults"
RELEASED = Route(
    "as-released",
    ("decode",),
    must=("replay begun",),
    on=OWN_GATES,
    released=True,
    timed=False,
)
"""The originals' replay and the tree's, gates off: the same bytes, the stale ones too."""
MIXED = "gates-"
NAMES = (*dict.fromkeys(route.name for route in ROUTES), DEFAULTS, RELEASED.name)


def _matches(pattern: str, seen: list[str]) -> list[str]:
    return [found for found in seen if fnmatch.fnmatchcase(found, pattern)]


def _count(pattern: str, counts: dict[str, dict[str, int]]) -> int:
    return sum(
        count
        for phase, names in counts.items()
        for name, count in names.items()
        if fnmatch.fnmatchcase(f"{phase} {name}", pattern)
    )


def baseline_driver(route: Route, mode: str, in_tree: bool) -> str:
    """The baseline's driver: the code that computes for each backend alone.

    The release's multi-step replay is that loop; in a tree nobody here patched the
    verifier runs the loop itself. What has to be as released is compared with its replay.
    """
    driver = _DRIVERS.get(mode, "base")
    return _LOOPS.get(driver, driver) if in_tree and not route.released else driver


_PRECOMPUTED = "replay call _precompute_replay_metadata"
_DSA = (
    Route(
        "precomputed",
        ("decode",),
        must=(_PRECOMPUTED,),
        kernels=True,
        dsa=True,
        on=OWN_GATES,
    ),
    Route(
        "original",
        ("target_verify",),
        must=PAIR,
        pair=True,
        kernels=True,
        dsa=True,
        on=OWN_GATES,
    ),
)
"""Upstream's own replay of family C, against each backend's alone.

From 4 steps on three backends are copied to at once: not every copy is a call.
"""


def upstream(family: str, patches: Collection[str]) -> tuple[Route, ...]:
    """The routes of a tree whose release has a precompute, driven against itself."""
    if family == "C":
        own = [r for r in ROUTES if r.dsa and set(r.patches) <= set(patches)]
        # The last of a mode goes furthest: what more builds on comes first.
        unset = {
            r.modes[0].partition("@")[0]: replace(
                r, name=DEFAULTS, on=(), unset=True, few=1
            )
            for r in own
            if r.best
        }
        return (*_DSA, *_released(patches), *own, *unset.values())
    found = tuple(
        replace(
            route,
            # Of what the release does by itself, the multi-step class alone.
            modes=route.modes if route.shares else _without_runner(route.modes),
            must=(_PRECOMPUTED,) if route.name == "precomputed" else route.must,
        )
        for route in ROUTES
        if set(route.patches) <= set(patches)
        and (route.name, route.pair) != ("original", False)
        and "B" in route.families
        # Upstream's replay of a single backend computes for itself.
        and (route.name != "precomputed" or route.pair or "decode" in route.modes)
    )
    ours = tuple(route for route in found if route.best or route.shares)
    return (*found, *_released(patches), *(_defaults(ours) if ours else ()))


def _released(patches: Collection[str]) -> tuple[Route, ...]:
    return (RELEASED,) if patches else ()


def _without_runner(modes: tuple[str, ...]) -> tuple[str, ...]:
    return ("decode",) if "decode" in modes else modes


def available(
    patches: Collection[str],
    in_tree: bool = False,
    foreign: bool = False,
    family: str = "A",
) -> tuple[Route, ...]:
    """The routes of a candidate that has these patches.

    In-tree, a route that would compare code with itself is none. `foreign`: nobody here
    patched the tree; the draft runner of such a one is not driven, since newer releases
    changed its parts.
    """
    found = tuple(
        route
        for route in ROUTES
        if set(route.patches) <= set(patches)
        and ("B" if family == "B" else "A") in route.families
    )
    if not in_tree:
        return (*found, *_defaults(found), *_mixed(found, patches))
    return tuple(
        replace(route, modes=_without_runner(route.modes)) if foreign else route
        for route in found
        if (route.name, route.pair) != ("original", False)
    )


def unfit(release: str) -> tuple[str, ...]:
    """In words, whose routes no tree of a release can have, of patches for its family."""
    return tuple(
        f"{about.name}: not for {release}: {about.unfit[release]}"
        for about in all_about()
        if about.routes and release in about.unfit
    )


def _defaults(found: tuple[Route, ...]) -> tuple[Route, ...]:
    """No gate variable set: the furthest route of each mode has to run by itself."""
    # The later of two that reach as far: it is dispatched first.
    usual = [r for r in reversed(found) if not r.pair and not r.blocked]
    modes = dict.fromkeys(mode for route in usual for mode in route.modes)
    furthest = {
        mode: max((r for r in usual if mode in r.modes), key=_reach) for mode in modes
    }
    shares = any(route.shares for route in usual)
    routes = [
        replace(
            route, name=DEFAULTS, modes=(mode,), on=(), unset=True, shares=shares, few=3
        )
        for mode, route in furthest.items()
    ]
    plain = Route(DEFAULTS, (PLAIN,), must=(BASE_CALL,), unset=True, few=3)
    return (*routes, plain)


def _reach(route: Route) -> tuple[bool, bool, int, int]:
    """What is called best, shares, needs more patches, is for fewer modes."""
    return route.best, route.shares, len(route.patches), -len(route.modes)


def _mixed(found: tuple[Route, ...], patches: Collection[str]) -> tuple[Route, ...]:
    """Every other subset of the gates that the patches have, in every mode, in brief.

    Which path such a tree takes is its own affair; what it leaves must be the same.
    """
    gates: dict[str, str] = {}
    for about in all_about():
        if about.name in patches and about.gate:
            gates.setdefault(about.gate, about.name)
    modes = tuple(dict.fromkeys(mode for route in found for mode in route.modes))
    sharing = {gate for r in found if r.shares for gate in set(r.on) & set(_own(r))}
    usual = [route for route in found if not (route.blocked or route.pair)]
    known = {(frozenset(route.on), mode) for route in usual for mode in route.modes}
    routes = []
    for row in product((False, True), repeat=len(gates)):
        on = tuple(gate for gate, is_on in zip(gates, row, strict=True) if is_on)
        missing = tuple(mode for mode in modes if (frozenset(on), mode) not in known)
        if missing:
            name = MIXED + "+".join(gates[gate] for gate in on)
            shares = bool(sharing & set(on))
            routes.append(
                Route(name, missing, on=on, shares=shares, kernels=True, few=1)
            )
    return tuple(routes)


def _own(route: Route) -> tuple[str, ...]:
    return tuple(a.gate for a in all_about() if a.name == route.patch)
