"""What a replay really ran: the tree's entry points called, the kernels launched.

A route that falls back quietly would be compared with itself and pass. So a route
says which calls and kernels it must and must not show (verify.routes), and this
counts them. Kernels are counted where Triton launches them, in its interpreter too.
What a CPU would hide is noted as well: placeholders that the tree's code consults,
host reads inside a captured function, and branches on `is_cuda`. So is what the release
itself hides: from 0.5.9 on it catches whatever fails beside its copy kernels, prints that
it falls back, and copies otherwise.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

import torch
from torch.overrides import TorchFunctionMode

from verify.worker.observe.interpreter import compile_too, quicken

ENTRIES = (
    "_precompute_replay_metadata",
    "init_forward_metadata_replay_cuda_graph",
    "init_forward_metadata_replay_cuda_graph_from_precomputed",
    "_apply_cuda_graph_metadata",
)


_READS = {
    getattr(torch.Tensor, name): name
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__index__")
}
_FORKS = {torch.Tensor.is_cuda.__get__: "is_cuda"}  # type: ignore[attr-defined]


class Evidence(logging.Handler):
    """Counts by phase.

    The phases: "import", "capture", "replay" (the replay call) and "graph" (the captured
    function).

    on_host: addresses of tensors that the captured function must not touch.
    own_kernels: the release's copy kernels compile here, or fail to: no fault of the tree.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.phase = "capture"
        self.consulted: dict[str, dict[str, None]] = {}
        self.host: dict[str, None] = {}
        self.forks: dict[str, None] = {}
        self.on_host: set[int] = set()
        self.counts: dict[str, Counter[str]] = {}
        self.warnings: list[str] = []
        self._patched = False
        self.resting = self.starting = False
        self.own_kernels = False
        logging.getLogger("sglang").addHandler(self)
        logging.getLogger("sglang").propagate = False

    def rest(self) -> None:
        """Watch no launches from now on: what is timed must not be counted too."""
        self._patched = self.resting = True

    def reset(self) -> None:
        self.counts = {}
        self.consulted, self.host, self.forks, self.on_host = {}, {}, {}, set()
        self.phase = "capture"

    def keep_off(self, tensor: Any) -> None:
        """The captured function must not touch this tensor, which is on the host."""
        if isinstance(tensor, torch.Tensor):
            self.on_host.add(tensor.untyped_storage().data_ptr())

    def consult(self, name: str) -> None:
        """The tree's code asked something of a placeholder, or for an unset field."""
        if self.phase != "import":
            self.consulted.setdefault(self.phase, {})[name] = None

    def count(self, name: str) -> None:
        self.counts.setdefault(self.phase, Counter())[name] += 1

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.warnings:
            self.warnings.append(message)

    def said(self, text: str) -> None:
        """The tree printed it."""
        if "falling back" in text and not self.own_kernels:
            self.count("fell back")
            if text not in self.warnings:
                self.warnings.append(text)

    @contextmanager
    def overhear(self) -> Iterator[None]:
        """Listen to what the tree prints."""
        with redirect_stdout(_Overheard(sys.stdout)):
            yield

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    def watch_calls(self, backend: type) -> None:
        """Wrap the entry points that the tree's backend class has."""
        for name in ENTRIES:
            method = getattr(backend, name, None)
            if method is not None and not hasattr(method, "_watched"):
                setattr(backend, name, self._wrapped(name, method))

    def watch_start(self, backend: Any) -> None:
        """What is launched while its buffers are made is no warm-up run."""
        init = backend.init_cuda_graph_state

        @functools.wraps(init)
        def started(*args: Any, **kwargs: Any) -> None:
            self.starting = True
            try:
                init(*args, **kwargs)
            finally:
                self.starting = False

        backend.init_cuda_graph_state = started

    def watch_kernels(self) -> None:
        """Count launches, once Triton is loaded; harmless to call again."""
        if self._patched or "triton.runtime.jit" not in sys.modules:
            return
        self._patched = True
        from triton.runtime import interpreter

        _wrap_run(
            interpreter.InterpretedFunction, lambda name: self.count(f"kernel {name}")
        )
        if os.environ.get("TRITON_INTERPRET") == "1":
            # A warm-up run before a capture is skipped: what it writes is poisoned.
            quicken(interpreter, lambda: self.phase == "capture" and not self.starting)
            compile_too(interpreter)
        _wrap_compiled(lambda name: self.count(f"kernel {name}"))

    def counted(self, name: str, launch: Callable[..., Any]) -> Callable[..., Any]:
        """A launch of something compiled otherwise, counted once it has succeeded."""
        if self.resting:
            return launch

        def launched(*args: Any) -> Any:
            error = launch(*args)
            if not error:
                self.count(f"kernel {name}")
            return error

        return launched

    def refuse_kernels(self) -> None:
        """From now on no kernel compiles; what was compiled before is not there yet."""
        from triton.runtime import interpreter, jit

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("no kernel compiles here")

        for kind in (jit.JITFunction, interpreter.InterpretedFunction):
            kind.run = kind.warmup = refuse

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count(f"call {name}")
            return method(*args, **kwargs)

        counted._watched = True  # type: ignore[attr-defined]
        return counted

    def found(self) -> dict[str, Any]:
        return {
            "counts": {phase: dict(c) for phase, c in self.counts.items()},
            "consulted": {
                phase: list(names) for phase, names in self.consulted.items()
            },
            "host": list(self.host),
            "forks": list(self.forks),
            "warnings": list(self.warnings),
        }


class _Overheard:
    """What stdout is in the meantime."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        EVIDENCE.said(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


class HostRead(RuntimeError):
    """In the captured function: what a real capture would fail of, without saying where."""


class HostReads(TorchFunctionMode):
    """Notes what the tree's own lines ask of a tensor that only a CPU can answer.

    forks: branches on `is_cuda` too, of which a CPU takes only one. Where the tensor is
    not on the host, a captured function's read ends with `HostRead`.
    """

    def __init__(self, *, forks: bool) -> None:
        super().__init__()
        self._forks = _FORKS if forks else {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        inside = EVIDENCE.phase == "graph"
        reads = inside and func in _READS
        touches = inside and EVIDENCE.on_host and any(map(_on_host, args))
        if reads or touches or func in self._forks:
            line = self._note(func)
            if line and reads and args[0].device.type != "cpu":
                raise HostRead(f"a host read in the captured function: {line}")
        return func(*args, **(kwargs or {}))

    def _note(self, func: Any) -> str:
        frame = sys._getframe(2)
        file = frame.f_code.co_filename
        if "/sglang/" not in file:
            return ""
        name = _READS.get(func) or _FORKS.get(func) or getattr(func, "__name__", "")
        place = file.partition("/sglang/")[2]
        line = f"{name} in {frame.f_code.co_name} ({place}:{frame.f_lineno})"
        (EVIDENCE.forks if func in _FORKS else EVIDENCE.host)[line] = None
        return line


def _on_host(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.untyped_storage().data_ptr() in EVIDENCE.on_host
    )


def _wrap_run(kind: Any, seen: Callable[[str], None]) -> None:
    """Report a launch once it has succeeded: a failed one is a fallback's business."""
    run = kind.run

    @functools.wraps(run)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = run(self, *args, **kwargs)
        if not kwargs.get("warmup"):
            seen(str(getattr(self.fn, "__name__", self.fn)))
        return result

    kind.run = counted


def _wrap_compiled(seen: Callable[[str], None]) -> None:
    """Report launches of a kernel that the tree compiled before and kept.

    Whatever its way there, a launch runs what Triton made when it loaded the kernel.
    """
    from triton.compiler.compiler import CompiledKernel

    load = CompiledKernel._init_handles

    @functools.wraps(load)
    def loaded(self: Any) -> None:
        load(self)
        name = "_run" if "_run" in vars(self) else "run"
        run = getattr(self, name)
        if not hasattr(run, "_watched"):

            def counted(*args: Any, **kwargs: Any) -> Any:
                result = run(*args, **kwargs)
                seen(str(self.name))
                return result

            counted._watched = True  # type: ignore[attr-defined]
            setattr(self, name, counted)

    CompiledKernel._init_handles = loaded


EVIDENCE = Evidence()
