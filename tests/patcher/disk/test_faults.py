from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patcher.disk.faults import CASES, Case
from tests.patcher.disk.faulty_os import ERRORS, KINDS, UNKNOWN


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_fault_leaves_a_mess(case: Case) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.patcher.disk.faults", "--case", case.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line[21:].rsplit(maxsplit=5) for line in done.stdout.splitlines()]
    every = (*KINDS, *UNKNOWN)
    table = {
        r[0].strip(): [int(cell) for cell in r[1:]] for r in rows[1 : len(every) + 1]
    }
    assert set(table) == set(every)
    for kind, (points, before, after, between, bad) in table.items():
        if kind in UNKNOWN:
            assert (points, after, bad) == (1, 1, 0)
            continue
        assert points == 2 if case.repository else points > 40
        assert before + after + between == points
        assert bad == 0
        undone = ERRORS if case.repository else (*ERRORS, "disk full from here on")
        if kind in undone:
            assert between == 0, f"{kind} should have been undone at once"


def test_random_kills_end_before_or_after() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.patcher.disk.kills", "--kills", "20"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("20 kills, 0 bad\n")
