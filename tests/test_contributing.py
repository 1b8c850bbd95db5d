"""The patch on the "Add a patch" page is one folder that applies, verifies and goes back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.conftest import original, unpack

__all__ = ["original", "unpack"]  # fixtures

pytestmark = pytest.mark.tree
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
FOLDER = "patches/copy_first"
DECODE = "decode:n3:p64:fa3:s64:r64:c1,3:x2304:k2048:d4:tour3"
FLASHMLA = "decode:n2:p64:flashmla_kv:s32:r32:c1,3:x256:k64:d4:tour3"
RUNNER = "decode@runner:n3:p64:fa3:s32:r32:c1,3:x2304:k2048:d4:tour3"

Command = Callable[..., tuple[int, str]]


def folder() -> dict[str, str]:
    """The page's files: each code block, under the path that was named last before it."""
    section = PAGE.split("\n## Add a patch\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    name = ""
    for path, code in re.findall(
        r"`(patches/\S+?\.py)`|^```python\n(.*?)^```$", section, re.M | re.S
    ):
        if path:
            name = path
        else:
            found[name] = code
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """This project with the page's folder in it, and nothing else changed."""
    made = tmp_path / "project"
    for package in ("patcher", "patches", "verify"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, made / package, ignore=ignore)
    for path, code in folder().items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(code)
    return made


@pytest.fixture
def command(project: Path) -> Command:
    """Runs a command of that project: exit code and output."""

    def run(module: str, *arguments: object) -> tuple[int, str]:
        line = [sys.executable, "-m", module, *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": str(project)}
        done = subprocess.run(
            line, env=env, cwd=project, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def tree(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tree"))


def content(tree: Path) -> dict[str, bytes]:
    return {
        file.relative_to(tree).as_posix(): file.read_bytes()
        for file in tree.rglob("*")
        if file.is_file()
    }


def verify(command: Command, tree: Path) -> tuple[int, str]:
    scenarios = (f"--scenario={text}" for text in (DECODE, FLASHMLA, RUNNER))
    return command(
        "verify.cli.verify", tree, "--device=cpu", "--route=copy-first", *scenarios
    )


def test_it_is_one_folder() -> None:
    assert sorted(folder()) == [
        f"{FOLDER}/about.py",
        f"{FOLDER}/payload/nsa_backend.py",
        f"{FOLDER}/recipe.py",
    ]


def test_it_applies_verifies_and_goes_back(command: Command, tree: Path) -> None:
    before = content(tree)
    code, out = command("patches.commands", "apply", tree, "--patch", "copy-first")
    assert code == 0, out
    assert content(tree) != before

    code, out = verify(command, tree)
    assert code == 0, out
    assert re.search(r"^decode +copy-first +4 +- +- +- ", out, re.MULTILINE), out
    assert re.search(r"^decode@runner +copy-first +2 +- +- +- ", out, re.MULTILINE), out

    code, out = command("patches.commands", "rollback", tree)
    assert code == 0, out
    assert content(tree) == before


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        # One buffer is forgotten.
        ('hasattr(value, "copy_")', 'name == "page_table_1"', "cache_seqlens_int32"),
        # The gate is never asked, so the loop that was there runs: right, and no proof.
        ("envs.SGLANG_NSA_COPY_FIRST.get()", "False", "replay begun"),
    ],
)
def test_a_wrong_one_is_caught(
    project: Path, command: Command, tree: Path, right: str, wrong: str, says: str
) -> None:
    payload = project / FOLDER / "payload/nsa_backend.py"
    text = payload.read_text()
    assert text.count(right) == 1
    payload.write_text(text.replace(right, wrong))
    code, out = command("patches.commands", "apply", tree, "--patch", "copy-first")
    assert code == 0, out
    code, out = verify(command, tree)
    assert code != 0, out
    assert says in out


def test_an_edit_of_what_it_goes_around_is_refused(
    command: Command, tree: Path
) -> None:
    file = tree / "sglang/srt/layers/attention/nsa_backend.py"
    text = file.read_text()
    head, found, tail = text.rpartition("for i in range(self.speculative_num_steps):")
    file.write_text(head + "count = 1\n        " + found + tail)
    code, out = command(
        "patches.commands", "apply", tree, "--patch", "copy-first", "--allow-drift"
    )
    assert code == 3, out
    assert "init_forward_metadata_replay_cuda_graph" in out
