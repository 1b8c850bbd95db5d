"""Named scripts: replays drawn from a seed, the same on both sides.

`tourK` walks K replays over the captured batch sizes and back: full and padded
batches, lengths that grow and shrink, or change under the same maximum, or not at all, the edges (1, 63, 64, 65, 2047, 2048, 2049, the
context's end) and rows that move and are reused. `recaptureK` is the same tour
with a full re-capture in the middle and one of a single batch size after it.
"""

from __future__ import annotations

import itertools
import random

from verify.worker.scenario import (
    Replay,
    Scenario,
    ScenarioError,
    is_named,
    parse_replays,
)

EDGES = (1, 63, 64, 65, 127, 2047, 2048, 2049)


def replays(scenario: Scenario, seed: int) -> tuple[Replay, ...]:
    """The replays of a scenario. Raises ScenarioError for an unknown name."""
    if not is_named(scenario.script):
        return parse_replays(scenario.script)
    for name in ("tour", "recapture"):
        count = scenario.script.removeprefix(name)
        if count != scenario.script and count.isdigit() and int(count) >= 1:
            tour = _tour(scenario, seed, int(count))
            return tour if name == "tour" else _with_recaptures(scenario, tour)
    raise ScenarioError(f"unknown script {scenario.script!r}; known: tourK, recaptureK")


def _tour(scenario: Scenario, seed: int, count: int) -> tuple[Replay, ...]:
    draw = random.Random(f"{seed}:{scenario.text()}")
    edges = _Edges(scenario, draw)
    found: list[Replay] = []
    for step in range(count):
        if step % 6 == 2:
            found.append(_twin(scenario, draw, found[-1]))
            continue
        if step % 6 == 3:  # the same batch again; the pool has changed meanwhile
            found.append(found[-1])
            continue
        raw_bs = _raw_bs(scenario, draw, step)
        found.append(_one(scenario, draw, raw_bs, _style(step), edges, step))
    return tuple(found)


class _Edges:
    """The edge lengths in turn, from a drawn start, through all of a tour."""

    def __init__(self, scenario: Scenario, draw: random.Random) -> None:
        end = scenario.max_length
        self.lengths = [n for n in EDGES if n <= end] + [end, max(1, end - 1)]
        self._next = draw.randrange(len(self.lengths))

    def take(self) -> int:
        self._next = (self._next + 1) % len(self.lengths)
        return self.lengths[self._next]


def _style(step: int) -> str:
    return ("edges", "short", "long", "edges", "mixed", "one", "mixed")[step % 7]


def _raw_bs(scenario: Scenario, draw: random.Random, step: int) -> int:
    """The largest size, a padded one (twice), the smallest, the largest again."""
    step %= 6
    if step in (0, 5):
        return scenario.max_bs
    if step == 4:
        return scenario.capture[0]
    padded = [
        raw
        for below, size in itertools.pairwise((0, *scenario.capture))
        for raw in range(below + 1, size)
    ]
    return draw.choice(padded or scenario.capture)


def _twin(scenario: Scenario, draw: random.Random, last: Replay) -> Replay:
    """As many rows and the same longest one, but elsewhere; all else is new."""
    longest = max(last.lengths)
    lengths = [draw.randint(1, longest) for _ in last.lengths]
    lengths[draw.randrange(len(lengths))] = longest
    rows = draw.sample(range(scenario.pool_rows), len(lengths))
    return _replay(scenario, draw, lengths, rows)


def _one(
    scenario: Scenario,
    draw: random.Random,
    raw_bs: int,
    style: str,
    edges: _Edges,
    step: int,
) -> Replay:
    lengths = [_length(scenario, draw, style) for _ in range(raw_bs)]
    if style in ("edges", "mixed"):
        for i in range(min(raw_bs, len(edges.lengths))):
            lengths[i] = edges.take()
        draw.shuffle(lengths)
    rows = draw.sample(range(scenario.pool_rows), raw_bs)
    if step % 4 == 3 and raw_bs > 1:
        rows[-1] = rows[0]
    return _replay(scenario, draw, lengths, rows)


def _replay(
    scenario: Scenario, draw: random.Random, lengths: list[int], rows: list[int]
) -> Replay:
    if not scenario.mode.startswith("draft_extend"):
        return Replay(tuple(lengths), tuple(rows))
    accepts = [draw.randint(1, scenario.draft) for _ in lengths]
    lengths = [max(n, a) for n, a in zip(lengths, accepts, strict=True)]
    return Replay(tuple(lengths), tuple(rows), tuple(accepts))


def _length(scenario: Scenario, draw: random.Random, style: str) -> int:
    end = scenario.max_length
    if style == "short":
        return draw.randint(1, min(end, 200))
    if style == "long":
        return draw.randint(max(1, end - 300), end)
    if style == "one":
        return 1
    return draw.randint(1, end)


def _with_recaptures(
    scenario: Scenario, tour: tuple[Replay, ...]
) -> tuple[Replay, ...]:
    half = (len(tour) + 1) // 2
    one = Replay(recapture=scenario.capture[-1])
    return (*tour[:half], Replay(recapture=0), *tour[half:], one, tour[0])
