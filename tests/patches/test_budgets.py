"""How many lines the patches insert into 0.5.6.post2, as `git diff` counts them."""

from __future__ import annotations

import difflib

import pytest

from patcher.plan.edits import Plan, files_of, plan
from patcher.tree.pins import pins
from patcher.tree.wheels import fetch
from patches import all_patches
from tests.mutants.trees import Wheel

RELEASE = "0.5.6.post2"
PATCHES = {p.name: p for p in all_patches() if "A" in p.about.families}
pytestmark = pytest.mark.tree


def planned(*names: str) -> Plan:
    """The plan of these patches over the release's wheel."""
    wheel = Wheel(fetch(pins()[RELEASE], lambda line: None))
    patches = [patch for name, patch in PATCHES.items() if name in names]
    found = {rel: wheel.get(rel) for rel in files_of(patches)}
    done = plan({k: v for k, v in found.items() if v is not None}, patches)
    assert not done.conflicts
    return done


def inserted(done: Plan) -> int:
    """The `+` lines of a diff without context."""
    count = 0
    for file, data in done.edits.items():
        before = done.originals.get(file, b"").decode().splitlines()
        lines = difflib.unified_diff(before, data.decode().splitlines(), n=0)
        count += sum(line.startswith("+") for line in lines) - 1  # the header's own
    return count


@pytest.mark.parametrize(
    ("budget", "names"),
    [
        (800, tuple(name for name, p in PATCHES.items() if p.about.default)),
        (400, ("in-graph", "target-verify", "draft-extend")),
        (280, ("in-graph",)),
        (650, ("cuda-decode",)),
    ],
)
def test_lines_inserted(budget: int, names: tuple[str, ...]) -> None:
    assert inserted(planned(*names)) <= budget


def test_one_marker_a_file() -> None:
    for data in planned(*PATCHES).edits.values():
        assert data.count(b" nsa-opt:") == 1


@pytest.mark.parametrize("name", PATCHES)
def test_every_patch_stands_alone(name: str) -> None:
    assert PATCHES[name].about.requires == ()
    assert planned(name).edits
