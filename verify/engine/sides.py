"""The sides of an engine bench, and the package that each of them runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from patcher.disk import manifest
from patcher.results import Exit, Reason, Refusal, require_known
from patcher.tree.find import Tree, find_tree
from patches import all_about

ORIGINAL, PATCHED, GATES_OFF = "original", "patched", "gates off"
WITHOUT = "without "


@dataclass(frozen=True)
class EngineSide:
    """Files laid over the installed package (None: not there), and the gates' values.

    A gate of None is not set, as on a server where nobody set it.
    """

    name: str
    files: Mapping[str, bytes | None]
    gates: Mapping[str, str | None]


@dataclass(frozen=True)
class Sides:
    """Original, patched, without a patch or more, gates off: of one release, in this order."""

    release: str
    patches: tuple[str, ...]
    sides: tuple[EngineSide, ...]
    quick: bool = False

    @property
    def paths(self) -> Collection[str]:
        """What the sides have otherwise: all name the same files."""
        return self.sides[0].files.keys()

    @property
    def turns(self) -> tuple[EngineSide, ...]:
        """There and back, so that what drifts with time falls on all alike."""
        return self.sides if self.quick else (*self.sides, *reversed(self.sides))


def resolve(tree: Path, quick: bool = False, without: Collection[str] = ()) -> Sides:
    """The sides of a tree with patches: its files as they are, and their originals.

    quick: without the side whose gates are off, and one turn each. without: patches, each
    of which makes a side with its gate off. Raises `Refusal` where there is no manifest.
    """
    found = find_tree(tree)
    applied = manifest.load(found)
    if applied is None:
        hint = "apply-nsa-opt first: the originals to compare with are in its manifest"
        raise Refusal(Reason(str(tree), "", "has no patches applied", hint))
    originals = applied.originals()
    patched = {path: found.read(path) for path in originals}
    gate_of = {a.name: a.gate for a in all_about() if a.name in applied.names}
    require_known(without, gate_of, "patch of the tree", "--without")
    gates = list(gate_of.values())
    unset: dict[str, str | None] = dict.fromkeys(gates)
    off: dict[str, str | None] = dict.fromkeys(gates, "0")
    made = [EngineSide(ORIGINAL, originals, unset), EngineSide(PATCHED, patched, unset)]
    for name in without:
        made.append(EngineSide(WITHOUT + name, patched, {**unset, gate_of[name]: "0"}))
    if gates and not quick:
        made.append(EngineSide(GATES_OFF, patched, off))
    return Sides(applied.release, applied.names, tuple(made), quick)


class Package:
    """The installed `sglang` by links, but for the files that the sides have otherwise.

    place: a new folder, with `home` in it, the only one that is on Python's path. paths:
    of all files that a side may have otherwise, from `home` on.

    All sides, and all runs after this one, have the other files from where they are
    installed: what is compiled at first use and kept by path is compiled once. The
    installed package is only read.
    """

    def __init__(self, installed: Path, place: Path, paths: Collection[str]) -> None:
        self.place, self.home = place, place / "home"
        inside = [path.partition("/")[2] for path in paths]
        _link(installed, self.home / "sglang", inside)

    def lay(self, side: EngineSide) -> None:
        """The side's files, nothing else: every side names the same paths."""
        for path, data in side.files.items():
            file = self.home / path
            if data is None:
                file.unlink(missing_ok=True)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)

    def environment(
        self, side: EngineSide, usual: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """This process's environment, with `home` first on Python's path.

        usual: variables for those that are not set.
        """
        made = {**(usual or {}), **os.environ}
        path = made.get("PYTHONPATH", "")
        made["PYTHONPATH"] = os.pathsep.join([str(self.home), *filter(None, [path])])
        made["PYTHONUNBUFFERED"] = "1"
        made["PYTHONDONTWRITEBYTECODE"] = "1"  # it would be in the installed package
        for gate, value in side.gates.items():
            made.pop(gate, None)
            if value is not None:
                made[gate] = value
        return made


def _link(source: Path, target: Path, paths: Collection[str]) -> None:
    """A folder of links to what `source` has, without `paths`: theirs are real folders."""
    target.mkdir(parents=True)
    deeper = {path.partition("/")[0] for path in paths if "/" in path}
    for entry in source.iterdir():
        if entry.name in deeper:
            rest = [
                p.partition("/")[2] for p in paths if p.startswith(f"{entry.name}/")
            ]
            _link(entry, target / entry.name, rest)
        elif entry.name not in {"__pycache__", *paths}:
            (target / entry.name).symlink_to(entry)


def check(installed: Path, sides: Sides) -> None:
    """Raises `Refusal` where an installed file is neither side's, so not this release's."""
    here = Tree(installed.parent, "installed")
    strange = [
        path
        for path in sides.paths
        if all(_sha(here.read(path)) != _sha(s.files[path]) for s in sides.sides)
    ]
    if strange:
        what = f"is neither what sglang {sides.release} has nor what the tree has"
        hint = "reinstall sglang there, or give the installed package as TREE"
        reasons = [Reason(str(here.path(path)), "", what, hint) for path in strange]
        raise Refusal(*reasons, code=Exit.UNAVAILABLE)


def _sha(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
