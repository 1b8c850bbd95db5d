"""Whether engines fit a GPU beside each other."""

from __future__ import annotations

import pytest

from patcher.results import Exit, Refusal
from verify.engine.memory import GIB, check


def test_engines_beside_each_other_are_counted() -> None:
    check(40 * GIB, 2, free=80 * GIB, total=140 * GIB, where="H200")
    with pytest.raises(Refusal) as refused:
        check(40 * GIB, 3, free=100 * GIB, total=140 * GIB, where="H200")
    assert refused.value.code == Exit.UNAVAILABLE
    (reason,) = refused.value.reasons
    assert "3 engines beside each other would take 120.0 GiB" in reason.what
    assert "40.0 each; 100.0 of 140.0 GiB are free" in reason.what
    assert "without --beside" in reason.hint


def test_one_engine_is_not_told_to_stand_alone() -> None:
    with pytest.raises(Refusal) as refused:
        check(40 * GIB, 1, free=39 * GIB, total=140 * GIB, where="H200")
    (reason,) = refused.value.reasons
    assert "an engine would take 40.0 GiB" in reason.what
    assert "--beside" not in reason.hint
