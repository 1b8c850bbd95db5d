"""The order of what reaches the disk, so that a power cut is no worse than a kill."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patcher.apply import apply
from patcher.disk import fs
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import BACKEND, ENVIRON, KERNEL, patches

Call = tuple[str, str]


class Recorder:
    """Stands in for `os` in `patcher.disk.fs` and notes what is done to which file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.calls: list[Call] = []
        self._open: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        wrapped = {"open", "write", "fsync", "replace", "unlink", "rmdir"}
        return self._noted(name, real) if name in wrapped else real

    def _noted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any) -> Any:
            result = real(first, *rest)
            if name == "open":
                self._open[result] = self._name(first)
            elif name == "replace":
                self.calls.append((name, self._name(rest[0])))
                self.calls.append(("from", self._name(first)))
            else:
                self.calls.append((name, self._open.get(first) or self._name(first)))
            return result

        return call

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.home)) if isinstance(path, Path) else ""


@pytest.fixture
def recorder(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(tree.home)
    monkeypatch.setattr(fs, "os", recorder)
    return recorder


def last(calls: list[Call], call: Call) -> int:
    return len(calls) - 1 - calls[::-1].index(call)


def check(calls: list[Call], targets: list[str]) -> None:
    journal = "sglang/.nsa-opt/journal.json"
    state = "sglang/.nsa-opt"
    published = calls.index(("replace", journal))
    secured = calls.index(("fsync", state), published)
    closed = calls.index(("unlink", journal))
    swaps = [i for i, call in enumerate(calls) if call[1] in targets]
    assert secured < min(swaps)
    assert max(swaps) < closed
    for folder in {str(Path(target).parent) for target in targets}:
        assert max(swaps) < calls.index(("fsync", folder), max(swaps)) < closed
    for index, (name, file) in enumerate(calls):
        if name == "from":
            written = last(calls[:index], ("write", file))
            assert calls.index(("fsync", file), written) < index


def test_apply_secures_each_thing_before_it_counts(
    tree: Tree, recorder: Recorder
) -> None:
    apply(tree, (), patches())
    check(recorder.calls, [BACKEND, ENVIRON, KERNEL])


def test_rollback_does_too(tree: Tree, recorder: Recorder) -> None:
    apply(tree, (), patches())
    recorder.calls.clear()
    rollback(tree)
    check(recorder.calls, [BACKEND, ENVIRON, KERNEL])
