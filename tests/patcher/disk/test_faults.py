from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patcher.disk.faults import CASES, ERRORS, KINDS


@pytest.mark.parametrize("case", [case.name for case in CASES])
def test_no_fault_leaves_a_mess(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.patcher.disk.faults", "--case", case],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line[21:].rsplit(maxsplit=5) for line in done.stdout.splitlines()]
    table = {row[0].strip(): [int(cell) for cell in row[1:]] for row in rows[1:10]}
    assert set(table) == set(KINDS)
    for kind, (points, before, after, between, bad) in table.items():
        assert points > 40
        assert before + after + between == points
        assert bad == 0
        if kind in (*ERRORS, "disk full from here on"):
            assert between == 0, f"{kind} should have been undone at once"
