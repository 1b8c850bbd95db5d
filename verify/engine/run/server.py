"""One engine in a process of its own: started, asked, ended with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verify.engine.run import child

Json = dict[str, Any]
START_TIMEOUT = 1800.0
ANSWER_TIMEOUT = 1800.0
END_TIMEOUT = 30.0
_LAST_LINES = 12


class ServerFailed(Exception):
    """The engine did not start, died, hung or raised; `lines` are its last words."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class Server:
    """A child process (see child.py) with an engine in it.

    python: the interpreter that has sglang. folder: where the child and what it prints
    lie; one folder may serve many servers, one after the other. environment: the whole
    of it. Raises ServerFailed from every method but `close`.
    """

    def __init__(
        self, python: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "child.py"
        shutil.copyfile(child.__file__, script)
        self.log = folder / "stderr.txt"
        with self.log.open("w") as errors:
            try:
                self._process = subprocess.Popen(
                    [python, str(script)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=dict(environment),
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise ServerFailed(f"{python} does not start: {error}") from None
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self, arguments: Mapping[str, Any]) -> Json:
        """Starts the engine: `seconds`, and the `folder` and version of its sglang."""
        return self._ask({"do": "start", **arguments}, START_TIMEOUT)

    def generate(self, **request: Any) -> Json:
        """See `child.Engine.generate`."""
        return self._ask({"do": "generate", **request}, ANSWER_TIMEOUT)

    def load(self, **request: Any) -> Json:
        """See `child.Engine.load`."""
        return self._ask({"do": "load", **request}, ANSWER_TIMEOUT)

    def memory(self) -> Json:
        """See `child.Engine.memory`."""
        return self._ask({"do": "memory"}, ANSWER_TIMEOUT)

    def close(self) -> None:
        """Ends it in good order if it can, and by force if it can't."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def printed(self) -> list[str]:
        """The lines of its stderr, which is also its stdout."""
        return self.log.read_text(errors="replace").splitlines()

    def _ask(self, request: Json, timeout: float) -> Json:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failed("it ended before it was asked") from None
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise self._failed(f"no answer within {timeout:g} s") from None
        if line is None:
            code = self._process.wait()
            raise self._failed(f"it ended with {_how(code)}")
        reply: Json = json.loads(line)
        if not reply.pop("ok"):
            raise self._failed(str(reply["message"]))
        return reply

    def _failed(self, message: str) -> ServerFailed:
        return ServerFailed(message, tuple(self.printed[-_LAST_LINES:]))

    def _pump(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._answers.put(line)
        self._answers.put(None)


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
