"""The commands that need the patches, which are handed to them here.

The console scripts call these; without them: `python -m patches.commands apply TREE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import patches
from patcher.cli.common import refused
from patcher.results import Refusal, require_known


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


def main(argv: Sequence[str]) -> int:
    """Runs the command that is named first."""
    commands = {"apply": apply, "rollback": rollback, "status": status}
    name = argv[0] if argv else ""
    try:
        require_known([name], commands, "command")
    except Refusal as refusal:
        return int(refused(refusal))
    return commands[name](argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
