"""The worker process: requests as JSON lines on stdin, replies as JSON lines.

Replies go to the descriptor that stdout was; the tree's own prints go to stderr.
An error in the tree is a reply; anything worse ends the process and the parent says so.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import TextIO

from verify.worker.protocol import Config, Failed


def main() -> int:
    """Answers requests until stdin ends; returns 0."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Where it crashed; the parent asks where it hangs, before it kills it.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.dont_write_bytecode = True
    config: Config = json.loads(sys.stdin.readline())
    try:
        from verify.worker.session import Session

        session = Session(config)
    except BaseException as error:
        _reply(replies, _failure(error))
        return 1
    _reply(replies, {"ok": True, **session.hello()})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _reply(replies, {"ok": True, **session.handle(request)})
        except Exception as error:
            _reply(replies, _failure(error))
    return 0


def _failure(error: BaseException) -> Failed:
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{f.filename}:{f.lineno} in {f.name}" for f in frames]
    return Failed(
        ok=False,
        kind=type(error).__name__,
        message=str(error)[:2000],
        where=where[-6:],
    )


def _reply(stream: TextIO, reply: Mapping[str, object]) -> None:
    stream.write(json.dumps(reply) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
