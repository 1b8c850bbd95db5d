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
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import verify.worker
from verify.outcome import Broken

Json = dict[str, Any]
START_TIMEOUT = 120.0
_live: weakref.WeakSet[Session] = weakref.WeakSet()


class WorkerDied(Exception):
    """The worker is gone, or a request failed inside it; `broken` says how."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.message)
        self.broken = broken


class Session:
    """A worker on one side ("baseline" or "candidate") with one set of gates.

    snapshot: folder with the tree's modules. python: the interpreter to run.
    Raises WorkerDied from `ask`.
    """

    def __init__(
        self,
        side: str,
        snapshot: Path,
        *,
        device: str = "cpu",
        env: Mapping[str, str] | None = None,
        blocked: tuple[str, ...] = (),
        python: str | None = None,
        runtime: str = "isolated",
        timeout: float = 120.0,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        self.side = side
        self.timeout = timeout
        self.config: Json = {
            "snapshot": str(snapshot),
            "device": device,
            "env": dict(env or {}),
            "blocked": list(blocked),
            "runtime": runtime,
        }
        self._command = [*wrapper, python or sys.executable, "-m", "verify.worker"]
        self._process: subprocess.Popen[str] | None = None
        self._unusable: Broken | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="nsa-verify-"))
        self.about: Json = {}
        _live.add(self)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Json:
        """What the worker says of itself: python, torch, triton, device, pid."""
        if self._unusable is not None:
            raise WorkerDied(self._unusable)
        if self._process is None:
            self._launch()
            try:
                self.about = self._receive(START_TIMEOUT)
            except WorkerDied as death:
                self._kill()
                self._unusable = death.broken
                raise
        return self.about

    def ask(self, **request: Any) -> Json:
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            raise WorkerDied(self._died()) from None

    def receive(self) -> Json:
        return self._receive(self.timeout)

    def finish(self) -> None:
        """Let the worker end by itself, so that what wraps it can write its verdict."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _close_pipes(process)

    def interrupt(self) -> None:
        """From another thread: whoever waits for the worker is told that it died."""
        self._unusable = Broken("killed", self.side, "interrupted")
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def stderr(self) -> str:
        """What the worker and the tree printed to stderr."""
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self) -> None:
        code = self.folder / "code" / "verify"
        if not code.exists():
            _copy_worker(code)
        errors = (self.folder / "stderr").open("w")
        env = {**os.environ, **self.config["env"]}
        env["PYTHONPATH"] = str(code.parent)
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        env["PYTHONUNBUFFERED"] = "1"  # for its last words
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
            cwd=self.folder,
            start_new_session=True,
        )
        errors.close()
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(
            target=_pump, args=(self._process, self._lines), daemon=True
        ).start()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(self.config) + "\n")
            self._process.stdin.flush()

    def _receive(self, timeout: float) -> Json:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._kill()
            message = f"no answer within {timeout:g} s; killed"
            raise WorkerDied(Broken("timeout", self.side, message)) from None
        if line is None:
            raise WorkerDied(self._died())
        try:
            reply: Json = json.loads(line)
        except ValueError:
            self._kill()
            message = f"the worker's answer cannot be read: {line[:200]!r}"
            raise WorkerDied(Broken("crash", self.side, message)) from None
        if not reply.pop("ok"):
            raise WorkerDied(_raised(self.side, reply))
        return reply

    def _died(self) -> Broken:
        process = self._process
        assert process is not None
        self._process = None
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        _close_pipes(process)
        tail = tuple(self.stderr.strip().splitlines()[-6:])
        if code == -signal.SIGKILL:
            message = "the worker was killed (SIGKILL: out of memory, or by hand)"
            return Broken("killed", self.side, message, tail)
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Broken("crash", self.side, f"the worker ended with {name}", tail)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _close_pipes(process)


@contextlib.contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask workers; an interrupt ends the workers, and so the threads."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for session in list(_live):
                session.interrupt()
            raise


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    except ValueError:  # closed under us by _kill
        pass
    lines.put(None)


def _raised(side: str, reply: Json) -> Broken:
    kind = (
        "memory" if reply["kind"] in ("OutOfMemoryError", "MemoryError") else "raised"
    )
    message = f"{reply['kind']}: {reply['message']}"
    return Broken(kind, side, message, tuple(reply["where"]))


def _copy_worker(target: Path) -> None:
    """Only the worker's modules: nothing else of this project can be imported there."""
    source = Path(verify.worker.__file__).parent
    shutil.copytree(
        source, target / "worker", ignore=shutil.ignore_patterns("__pycache__")
    )
    (target / "__init__.py").write_text("")
