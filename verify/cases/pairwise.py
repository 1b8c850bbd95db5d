"""Pairwise testing: few rows of settings in which every two values meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any


def pairwise(
    factors: Mapping[str, Sequence[Any]], rows: int = 0
) -> list[dict[str, Any]]:
    """Settings in which every two values of two factors meet, as far as `rows` go.

    The first factor takes its values in turn, so each of them is there after as many
    rows. Greedy: each row takes what meets most pairs that have not met yet.
    """
    names = list(factors)
    missing = {
        ((a, x), (b, y))
        for a, b in combinations(names, 2)
        for x in factors[a]
        for y in factors[b]
    }
    found: list[dict[str, Any]] = []
    while len(found) < rows if rows else missing:
        first = factors[names[0]]
        row = {names[0]: first[len(found) % len(first)]}
        for name in names[1:]:
            turn = len(found) % len(factors[name])
            values = [*factors[name][turn:], *factors[name][:turn]]
            row[name] = max(
                values,
                key=lambda v: sum(
                    ((a, x), (name, v)) in missing for a, x in row.items()
                ),
            )
        missing -= set(combinations(row.items(), 2))
        found.append(row)
        if not rows and len(found) > 200:
            raise AssertionError("settings that never meet")
    return found
