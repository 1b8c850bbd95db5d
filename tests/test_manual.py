"""What the project says of its commands is what the commands say of themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from verify.cli.manual import COMMANDS, described, manual, page_of

ROOT = Path(__file__).parents[1]
AGAIN = "run `python -m verify.cli.manual`"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manual_page_is_as_the_command_s_help(name: str) -> None:
    page = ROOT / "docs/man" / page_of(name)
    assert page.read_text("utf-8") == manual(name), AGAIN
    assert "\\-\\-version" in page.read_text("utf-8")


def test_no_manual_page_is_left_over() -> None:
    there = {page.name for page in (ROOT / "docs/man").iterdir()}
    assert there == {page_of(name) for name in COMMANDS}


def test_the_page_of_commands_has_their_help() -> None:
    page = (ROOT / "docs/commands.md").read_text("utf-8")
    assert page == described(page), AGAIN
    for name in COMMANDS:
        assert f"\n## {name}\n" in page


def test_every_script_has_a_manual_page() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    scripts = project.split("[project.scripts]")[1].split("\n[")[0]
    named = re.findall(r"^([\w-]+) = ", scripts, re.M)
    assert set(named) <= set(COMMANDS)
    assert '"share/man/man1" = ["docs/man/*.1"]' in project


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("name", COMMANDS)
def test_man_understands_every_line(name: str) -> None:
    line = ["groff", "-man", "-ww", "-z", str(ROOT / "docs/man" / page_of(name))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
