"""One worker process: start it, ask it, and turn every way it can die into a value."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verify.outcome import Broken
from verify.sides.death import ended, frames, raised
from verify.sides.launch import START_TIMEOUT, ForkServer, Process, spawn
from verify.sides.stop import Ended
from verify.worker.protocol import (
    Bytes,
    BytesWritten,
    Config,
    Hello,
    Used,
    UsedModules,
)

_POLL = 0.5  # seconds between two looks at whether a silent worker still lives
_live: weakref.WeakSet[Worker] = weakref.WeakSet()


class WorkerDied(Exception):
    """The worker is gone, or a request failed inside it; `broken` says how."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.message)
        self.broken = broken


@dataclass(frozen=True)
class About:
    """What a worker was and used; hello and modules: None where it never said."""

    side: str
    gates: Mapping[str, str | None]
    blocked: tuple[str, ...]
    hello: Hello | None
    modules: UsedModules | None

    @property
    def standins(self) -> list[str]:
        return self.modules["standins"] if self.modules else []


class Worker:
    """The parent's handle on a worker process: one side, one set of gates.

    side: "baseline" or "candidate". config: what the process is told first. python: the
    interpreter to run. wrapper: a command to run it under. forks: where the process is
    forked, if not started by itself.

    Raises WorkerDied from whatever asks the process something; after an interrupt, Ended.
    """

    def __init__(
        self,
        side: str,
        config: Config,
        *,
        python: str | None = None,
        timeout: float = 120.0,
        wrapper: tuple[str, ...] = (),
        forks: ForkServer | None = None,
    ) -> None:
        self.side = side
        self.config = config
        self.timeout = timeout
        self._forks = forks
        self._command = [*wrapper, python or sys.executable, "-m", "verify.worker"]
        self._process: Process | None = None
        self._unusable: Broken | None = None
        self._interrupted = False
        self._modules: UsedModules | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="nsa-verify-"))
        self.hello: Hello | None = None
        _live.add(self)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> Hello:
        """What the worker says of itself: python, torch, triton, device, pid."""
        if self._interrupted:
            raise Ended
        if self._unusable is not None:
            raise WorkerDied(self._unusable)
        if self._process is None:
            self._launch()
            try:
                self.hello = self._receive(START_TIMEOUT)
            except WorkerDied as death:
                self._kill()
                if self._forks is not None and self.config["device"] != "cpu":
                    # What it was forked from may have woken the GPU: without it then.
                    self._forks = None
                    return self.start()
                self._unusable = death.broken
                raise
        assert self.hello is not None
        return self.hello

    def ask(self, **request: Any) -> Any:
        """Send one request of verify.worker.protocol; returns its reply."""
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._dead(self._died()) from None

    def receive(self) -> Any:
        return self._receive(self.timeout)

    def fetch(self, digests: list[str]) -> dict[str, bytes]:
        """Bytes that the worker kept of what it played last, by their sha256."""
        file = self.folder / "bytes"
        request = Bytes(op="bytes", digests=sorted(set(digests)), file=str(file))
        written: BytesWritten = self.ask(**request)
        data = memoryview(file.read_bytes())
        file.unlink()
        places = written["places"].items()
        return {digest: bytes(data[at : at + size]) for digest, (at, size) in places}

    def used(self) -> About:
        """What the worker is, and which modules it imported, stubbed, stood in for."""
        if self._modules is None:
            with contextlib.suppress(WorkerDied, Ended):
                self._modules = self.ask(**Used(op="used"))
        gates, blocked = self.config["env"], tuple(self.config["blocked"])
        return About(self.side, gates, blocked, self.hello, self._modules)

    def finish(self) -> None:
        """Let the worker end by itself, so that what wraps it can write its verdict."""
        self.used()
        if (process := self._process) is not None:
            _close(process)
            try:
                process.wait(START_TIMEOUT)
            except subprocess.TimeoutExpired:
                _end(process)
                process.wait()
            self._process = None
        if self._interrupted:
            raise Ended

    def interrupt(self) -> None:
        """From another thread: whoever waits for the worker is told that it is over."""
        self._interrupted = True
        if self._process is not None:
            _end(self._process)

    def close(self) -> None:
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def stderr(self) -> str:
        """What the worker and the tree printed to stderr."""
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self) -> None:
        process = None
        if self._forks is not None:
            # Else it starts by itself, or says why not.
            with contextlib.suppress(OSError):
                process, replies = self._forks.fork(self.folder)
        if process is None:
            process, replies = spawn(self._command, self.folder, self.config["env"])
        self._process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(replies, self._lines), daemon=True).start()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(self.config) + "\n")
            self._process.stdin.flush()

    def _receive(self, timeout: float) -> Any:
        line = self._line(timeout)
        try:
            reply = json.loads(line)
            ok = reply.pop("ok")
        except (ValueError, AttributeError, KeyError, TypeError):
            self._kill()
            message = f"the worker's answer cannot be read: {line[:200]!r}"
            raise self._dead(Broken("crash", self.side, message)) from None
        if not ok:
            raise WorkerDied(raised(self.side, reply))
        return reply

    def _line(self, timeout: float) -> str:
        """The worker's next line; a process of its own may hold its stdout open."""
        until = time.monotonic() + timeout
        while True:
            process = self._process
            dead = process is None or process.poll() is not None
            left = until - time.monotonic()
            try:
                line = self._lines.get(timeout=max(0.0, min(_POLL, left)))
            except queue.Empty:
                if self._interrupted:
                    raise Ended from None
                if dead:
                    raise self._dead(self._died()) from None
                if left > 0:
                    continue
                where = self._stack()
                self._kill()
                message = f"no answer within {timeout:g} s; killed"
                broken = Broken("timeout", self.side, message, where)
                raise self._dead(broken) from None
            if line is None:
                raise self._dead(self._died())
            return line

    def _stack(self) -> tuple[str, ...]:
        """Where the worker hangs: the lines that faulthandler prints on request."""
        process, before = self._process, len(self.stderr)
        if process is None or process.poll() is not None:
            return ()
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGUSR1)
        until = time.monotonic() + 2.0
        while time.monotonic() < until and "File" not in self.stderr[before:]:
            time.sleep(0.05)
        time.sleep(0.05)
        return frames(self.stderr[before:])

    def _dead(self, broken: Broken) -> WorkerDied | Ended:
        """What to raise: how it died, unless it was this process that ended it."""
        return Ended() if self._interrupted else WorkerDied(broken)

    def _died(self) -> Broken:
        process = self._process
        if process is None:
            return Broken("killed", self.side, "the worker is gone")
        self._process = None
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            _end(process)
            code = process.wait()
        _close(process)
        return ended(self.side, code, self.stderr.strip())

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _end(process)
        process.wait()
        _close(process)


@contextlib.contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask workers; an interrupt ends the workers, and so the threads."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in list(_live):
                worker.interrupt()
            raise


def _end(process: Process) -> None:
    """By force, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _close(process: Process) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _pump(replies: int, lines: queue.Queue[str | None]) -> None:
    """Owns the pipe's end: nobody closes it while this waits in a read."""
    with os.fdopen(replies, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            lines.put(line)
    lines.put(None)
