"""Being stopped: what was found by then is kept, and no worker's end is a finding."""

from __future__ import annotations

from types import TracebackType


class Ended(BaseException):
    """Raised instead of a worker's answer once the run is stopped: it is nobody's fault."""


class Stoppable:
    """A block that an interrupt ends, and nothing else; `stopped` says whether one did.

    A second one, while the first is answered (workers are ended), goes through.
    """

    stopped = False

    def __enter__(self) -> Stoppable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.stopped = isinstance(error, KeyboardInterrupt) and not isinstance(
            error.__context__, KeyboardInterrupt
        )
        return self.stopped
