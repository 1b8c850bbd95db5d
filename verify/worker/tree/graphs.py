"""CUDA graphs for the tree's runner: real ones on CUDA, re-running on a CPU.

The tree's own code calls `torch.cuda.CUDAGraph()` and `torch.cuda.graph(...)`; both
are replaced in the worker, so that nothing of the runner has to be overridden.
On CUDA the replacement only pauses guard bands, whose moves a graph would record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from verify.worker.observe.evidence import EVIDENCE, HostReads
from verify.worker.observe.guards import GuardBands

_guards: list[GuardBands] = []
_real_graph: Any = torch.cuda.graph


def use(guards: GuardBands, device: str) -> None:
    """From now on graphs captured here belong to a driver with these guard bands."""
    _guards[:] = [guards]
    on_cuda = torch.device(device).type == "cuda"
    setattr(torch.cuda, "graph", Capturing if on_cuda else Recording)  # noqa: B010
    if not on_cuda:
        setattr(torch.cuda, "CUDAGraph", Rerun)  # noqa: B010
        setattr(torch.cuda, "Event", HostEvent)  # noqa: B010


class Rerun:
    """A CPU's stand-in for a CUDA graph: replaying runs the function again."""

    run_once: Callable[[], Any] | None = None

    def replay(self) -> None:
        assert self.run_once is not None, "the graph was never captured"
        with EVIDENCE.during("graph"):
            self.run_once()

    def pool(self) -> None:
        return None


class HostEvent:
    """A CPU's stand-in for a CUDA event; one that a graph may record, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Of any kind."""

    def record(self, stream: Any = None) -> None:
        EVIDENCE.count("event")


class HostModule:
    """`torch.cuda`, for a runner that marks where its graph's first reads end."""

    Event = HostEvent

    @staticmethod
    def is_current_stream_capturing() -> bool:
        return EVIDENCE.phase == "graph"


@contextmanager
def only_the_device(backends: list[Any], device: str) -> Iterator[None]:
    """What replays a real graph changes nothing that Python holds; a re-run does not either."""
    before = [dict(vars(backend)) for backend in backends]
    try:
        yield
    finally:
        if torch.device(device).type != "cuda":
            for backend, state in zip(backends, before, strict=True):
                vars(backend).clear()
                vars(backend).update(state)


class _Inside:
    """While capturing: no guard bands, and launches count as the graph's.

    once: the function runs here and never again, so that host reads are looked for.
    """

    def __init__(self, *, once: bool) -> None:
        self._stack = ExitStack()
        self._once = once

    def open(self) -> None:
        self._stack.enter_context(_guards[0].pause())
        self._stack.enter_context(EVIDENCE.during("graph"))
        if self._once:
            self._stack.enter_context(HostReads(forks=False))

    def close(self) -> None:
        self._stack.close()


class Recording:
    """On a CPU: remembers the caller's `run_once`, which runs in the with-block."""

    def __init__(self, cuda_graph: Rerun, pool: Any = None, stream: Any = None) -> None:
        self._graph = cuda_graph
        self._inside = _Inside(once=False)

    def __enter__(self) -> None:
        names = sys._getframe(1).f_locals
        self._graph.run_once = names.get("run_once_fn") or names["run_once"]
        self._inside.open()

    def __exit__(self, *error: object) -> None:
        self._inside.close()


class Capturing(_real_graph):  # type: ignore[misc]
    """On CUDA: a real capture."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inside = _Inside(once=True)

    def __enter__(self) -> None:
        self._inside.open()
        super().__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self._inside.close()
