"""Launches are counted where they say something of the work of each backend alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from verify.cases import launches
from verify.routes import RELEASED, upstream


def test_the_release_s_own_replay_is_not_the_original_s_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[Any] = []

    def play_all(setup: object, jobs: list[Any], play: object) -> SimpleNamespace:
        counted.extend(job.route for job in jobs)
        return SimpleNamespace(results=(), stopped=stopped)

    monkeypatch.setattr(launches, "play_all", play_all)
    routes = upstream("B", ["precompute", "target-verify"])
    assert RELEASED in routes
    stopped = False
    setup: Any = None
    launches.count(setup, routes)
    assert counted
    assert RELEASED not in counted
    stopped = True
    with pytest.raises(KeyboardInterrupt):
        launches.count(setup, routes)
