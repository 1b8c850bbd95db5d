"""The commands that need the patches, which are handed to them here.

The console scripts call these; without them: `python -m patches.commands apply TREE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import patches


def apply(argv: Sequence[str] | None = None) -> int:
    """Runs `apply-nsa-opt` and returns its exit code."""
    from patcher.cli.apply import main

    return main(argv, patches.all_patches)


def rollback(argv: Sequence[str] | None = None) -> int:
    """Runs `rollback-nsa-opt` and returns its exit code."""
    from patcher.cli.rollback import main

    return main(argv, patches.all_patches)


def status(argv: Sequence[str] | None = None) -> int:
    """Runs `status-nsa-opt` and returns its exit code."""
    from patcher.cli.status import main

    return main(argv, patches.all_about)


if __name__ == "__main__":
    sys.exit(
        {"apply": apply, "rollback": rollback, "status": status}[sys.argv[1]](
            sys.argv[2:]
        )
    )
