"""`python -m verify.bench REPORT.json DIR`: page and plots of a report made elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from patcher.results import Exit, Refusal
from verify.bench.report.model import read
from verify.bench.report.write import write


def main(argv: list[str]) -> int:
    """Returns the exit code; nothing is measured."""
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return int(Exit.USAGE)
    try:
        write(read(Path(argv[0])), Path(argv[1]), None, print)
    except (OSError, ValueError) as error:
        print(f"error: {argv[0]}: {error}", file=sys.stderr)
        return int(Exit.USAGE)
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return int(refusal.code)
    return int(Exit.DONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
