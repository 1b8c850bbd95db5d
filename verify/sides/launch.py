"""How a worker's process comes to be: started by itself, or forked where torch is loaded.

Starting one takes two seconds of imports, with CUDA seven, longer than many a scenario.
`ForkServer` does them once for all workers of a run. It never touches a GPU itself, since
no process that is forked later could use it then.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

import verify.worker

START_TIMEOUT = 120.0


class Process(Protocol):
    """What of `subprocess.Popen` a worker's process is asked; stdin takes its requests."""

    pid: int
    stdin: IO[str] | None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""


def spawn(
    command: list[str], folder: Path, env: Mapping[str, str | None]
) -> tuple[Process, int]:
    """A process of its own that runs `command` in `folder`; and where its replies come.

    env: what differs from this process's, None for what is not set there.
    """
    code = folder / "code"
    _copy_worker(code)
    replies, out = os.pipe()
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=errors,
            text=True,
            env=_environment(code, env),
            cwd=folder,
            start_new_session=True,
        )
    os.close(out)
    return process, replies


class ForkServer:
    """The parent's end of `verify.worker.forkserver`, run by `python`."""

    def __init__(self, python: str, device: str = "cpu") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nsa-verify-"))
        alone = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
        self._lock = threading.Lock()
        _copy_worker(self.folder / "code")
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, (self.folder / "stderr").open("w") as errors:
            try:
                self._process = subprocess.Popen(
                    [python, "-m", "verify.worker.forkserver", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    env=_environment(
                        self.folder / "code", alone if device == "cpu" else {}
                    ),
                    cwd=self.folder,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                self._discard()
                raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, folder: Path) -> tuple[Process, int]:
        """A worker that runs in `folder`, as `spawn` gives one. Raises OSError."""
        stdin, requests = os.pipe()
        replies, out = os.pipe()
        told, fate = os.pipe()
        with (folder / "stderr").open("w") as errors:
            theirs = [stdin, out, errors.fileno(), fate]
            with self._lock, contextlib.suppress(OSError):  # nobody tells then either
                socket.send_fds(self._channel, [str(folder).encode()], theirs)
        for descriptor in (stdin, out, fate):
            os.close(descriptor)
        try:
            return _Forked(told, requests), replies
        except OSError:
            os.close(replies)
            raise

    def close(self) -> None:
        """No more workers; those that live go on."""
        self._discard()
        self._process.wait()

    def _discard(self) -> None:
        self._channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def fork_server(python: str | None, device: str) -> Iterator[ForkServer | None]:
    """One where it can be had; None elsewhere, and each worker starts by itself."""
    if not hasattr(socket, "send_fds"):
        yield None
        return
    try:
        server = ForkServer(python or sys.executable, device)
    except OSError:
        yield None  # an interpreter that does not start is the worker's to report
        return
    try:
        yield server
    finally:
        server.close()


class _Forked:
    """A process that is the fork server's child: the server tells of its end."""

    def __init__(self, told: int, requests: int) -> None:
        self.stdin: IO[str] | None = os.fdopen(requests, "w", encoding="utf-8")
        self._told = os.fdopen(told, "rb", buffering=0)
        self._status: int | None = None
        line = self._line(START_TIMEOUT)
        if not line:
            self.stdin.close()
            self._told.close()
            raise OSError("the fork server is gone")
        self.pid = int(line)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            line = self._line(timeout)
            if line is None:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0)
            # Nothing: the server itself was killed, and with it who could know.
            self._status = int(line or -signal.SIGKILL)
            self._told.close()
        return self._status

    def _line(self, timeout: float | None) -> bytes | None:
        """What the server tells next: a line, nothing once it is gone, None: not yet."""
        ready, _, _ = select.select([self._told], [], [], timeout)
        return self._told.readline() if ready else None


def _environment(code: Path, changed: Mapping[str, str | None]) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in changed}
    env |= {name: value for name, value in changed.items() if value is not None}
    env["PYTHONPATH"] = str(code)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONUNBUFFERED"] = "1"  # for its last words
    return env


def _copy_worker(code: Path) -> None:
    """Only the worker's modules: nothing else of this project can be imported there."""
    target = code / "verify"
    if target.exists():
        return
    source = Path(verify.worker.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, target / "worker", ignore=ignore)
    (target / "__init__.py").write_text("")
