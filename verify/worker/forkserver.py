"""A process that has torch and Triton loaded, and forks a worker at every request.

    parent  ->  a datagram: the folder to run in, with four descriptors:
                stdin, stdout, stderr, and a pipe that is told the worker's fate
    pipe    <-  the worker's process id; once it has ended, its exit status (negative: the
                signal's number)

It ends when the parent closes its end of the socket, given as a descriptor's number.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import traceback
import warnings

_SLOW = (
    "torch",
    "triton.runtime.interpreter",
    "triton.language",
    "triton.experimental.gluon",  # a kernel's first warm-up asks for it
    "verify.worker.session",
    "verify.worker.play.play",
)


def main() -> int:
    """Forks until the parent is gone; returns 0."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    for name in _SLOW:
        # What cannot be imported is the worker's to report.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    fates: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([channel.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _report(fates)
        if channel.fileno() in ready:
            folder, descriptors, _, _ = socket.recv_fds(channel, 4096, 4)
            if not folder:
                return 0
            *standard, fate = descriptors
            pid = _forked()
            if pid == 0:
                for descriptor in (
                    channel.fileno(),
                    ended,
                    wake,
                    fate,
                    *fates.values(),
                ):
                    os.close(descriptor)
                _become(folder, standard)
            for descriptor in standard:
                os.close(descriptor)
            fates[pid] = fate
            _tell(fate, pid)


def _forked() -> int:
    with warnings.catch_warnings():
        # Python warns of the threads that numpy keeps; a worker starts its own.
        warnings.simplefilter("ignore")
        return os.fork()


def _report(fates: dict[int, int]) -> None:
    while fates:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        fate = fates.pop(pid)
        _tell(fate, os.waitstatus_to_exitcode(status))
        os.close(fate)


def _tell(fate: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(fate, f"{number}\n".encode())


def _become(folder: bytes, standard: list[int]) -> None:
    """The worker, as if it had been started by itself. Does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(folder)
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        from verify.worker.__main__ import main as work

        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
