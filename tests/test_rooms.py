"""Nobody imports upward: the order of the rooms, and every import held against it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent

ORDER: tuple[tuple[str, ...], ...] = (
    ("patcher", "patcher.results", "patcher.about"),
    ("patcher.tree",),
    ("patcher.steps",),
    ("patcher.recipe",),
    ("patcher.disk",),
    ("patcher.plan",),
    ("patcher.report", "patcher.record"),
    ("patcher.apply", "patcher.rollback", "patcher.status", "patcher.checkout"),
    ("patcher.cli",),
    ("patches",),
    ("patches.commands",),
    ("verify",),
)
"""From the ground up. A module is in the room with the longest name that its own starts
with; it may import from its own room and from lower floors, also inside functions and
for types only. Rooms of one floor do not know each other."""

FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}


def module_name(file: Path) -> str:
    """The dotted name of a file of the house."""
    parts = file.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room that a module is in; empty for one that is not of the house."""
    while module and module not in FLOORS:
        module = module.rpartition(".")[0]
    return module


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every module of the house that a file imports, wherever."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if room_of(name))


def upward(file: Path) -> Iterator[str]:
    """The imports of a file that its room may not have."""
    own = room_of(module_name(file))
    for line, name in imports(file):
        room = room_of(name)
        if room != own and FLOORS[room] >= FLOORS[own]:
            yield f"{file.relative_to(HOUSE)}:{line}: {own} imports {name} of {room}"


def files() -> list[Path]:
    """Every module of the three packages, but the payload, which is the trees'."""
    found = [
        p
        for top in ("patcher", "patches", "verify")
        for p in HOUSE.glob(f"{top}/**/*.py")
    ]
    return sorted(path for path in found if "payload" not in path.parts)


def test_nobody_imports_upward() -> None:
    found = [arrow for file in files() for arrow in upward(file)]
    assert not found, "\n".join(found)


def test_every_room_is_there() -> None:
    modules = {module_name(file) for file in files()}
    assert set(FLOORS) <= modules


@pytest.mark.parametrize(
    ("statement", "arrow"),
    [
        ("import patcher.cli.render", True),
        ("def later():\n    from patcher import apply", True),
        ("if TYPE_CHECKING:\n    from patcher.recipe import Patch", True),
        ("from patcher.disk.journal import Journal", True),
        ("from patcher.results import Exit", False),
        ("from patcher.tree import find", False),
        ("import pathlib", False),
    ],
)
def test_an_arrow_is_seen_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, arrow: bool
) -> None:
    monkeypatch.setattr(f"{__name__}.HOUSE", tmp_path)
    file = tmp_path / "patcher/tree/find.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"{statement}\n")
    assert bool(list(upward(file))) is arrow


def test_no_class_name_means_two_things_in_verify() -> None:
    """A `bench` folder may repeat what stands beside it: it is the same thing, timed."""
    found: dict[str, list[Path]] = {}
    for file in sorted((HOUSE / "verify").rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(file.relative_to(HOUSE))
    for name, files in found.items():
        mirrored = [f for f in files if "bench" in f.parts]
        parents = {f.parts[: f.parts.index("bench")] for f in mirrored}
        others = [f for f in files if f not in mirrored]
        assert len(mirrored) <= 1, (name, files)
        assert len(others) <= 1, (name, files)
        for other, parent in product(others, parents):
            mirror = (
                other.parts[: len(parent)] == parent and "engine" not in other.parts
            )
            assert mirror, (name, files)
