"""A stage on which the commands are run, and what they say is written down."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from patcher import __version__
from patcher.cli import apply, checkout, rollback, status
from tests.patcher.lookalike import FILES, patches, write_tree, write_wheel


class Stage:
    """A folder with a look-alike at `tree`, and a transcript of what was run there."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.patches = patches()
        self.transcript: list[str] = []
        self._capfd = capfd
        self.tree = write_tree(folder / "tree")

    def run(self, line: str) -> None:
        """Runs a command line and notes all that it says."""
        name, *arguments = shlex.split(line)
        if name == "checkout":
            code = checkout.main(arguments)
        elif name == "status":
            code = status.main(arguments, lambda: tuple(p.about for p in self.patches))
        else:
            command = {"apply": apply, "rollback": rollback}[name]
            code = command.main(arguments, lambda: self.patches)
        out, err = self._capfd.readouterr()
        self.transcript.append(f"$ {name}-nsa-opt {shlex.join(arguments)}\n")
        self.transcript += [self._plain(out), self._plain(err, "! "), f"= {code}\n\n"]

    def _plain(self, text: str, prefix: str = "") -> str:
        text = text.replace(str(self.folder), "DIR").replace(str(os.getpid()), "PID")
        text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
        text = text.replace(f"nsa-opt {__version__}", "nsa-opt VERSION")
        rows = [f"{prefix}{line}".rstrip() for line in text.splitlines()]
        return "".join(f"{row}\n" for row in rows)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.tree.path(file)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def wheel(self) -> None:
        """The release's wheel is in the cache from here on."""
        wheels = self.folder / "cache/wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        write_wheel(wheels, "1.0", FILES)

    def pip(self, stderr: str) -> None:
        """What pip says when it is asked to download; it brings something else."""

        def run(
            command: list[str], **options: object
        ) -> subprocess.CompletedProcess[str]:
            folder = Path(command[command.index("--dest") + 1])
            (folder / "sglang-1.0-py3-none-any.whl").write_text("something else")
            return subprocess.CompletedProcess(command, bool(stderr), "", stderr)

        self.monkeypatch.setattr("patcher.tree.wheels.subprocess.run", run)

    def git(self, *command: str) -> None:
        subprocess.run(["git", *command], cwd=self.tree.home, check=True)


Scenario = Callable[[Stage], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Registers what `messages/NAME.txt` is the transcript of."""
    SCENARIOS[function.__name__] = function
    return function
