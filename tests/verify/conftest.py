from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patcher.apply import apply
from patcher.tree.find import find_tree
from patcher.tree.pins import pins
from patcher.tree.wheels import fetch
from patches import all_patches
from verify.cli import verify as command

RELEASE = "0.5.6.post2"
FOLDERS = (
    "sglang/srt/layers/attention/",
    "sglang/srt/speculative/",
    "sglang/srt/model_executor/",
)
FILES = ("sglang/version.py", "sglang/srt/environ.py", "sglang/__init__.py")

Unpack = Callable[[str], Path]
Run = Callable[..., tuple[int, str, str]]
Verify = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="session")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Unpack:
    """A pinned release, only the parts that matter here, as an unpacked wheel."""
    made: dict[str, Path] = {}

    def one(release: str) -> Path:
        if release not in made:
            made[release] = tmp_path_factory.mktemp(release)
            wheel = fetch(pins()[release], lambda line: None)
            with zipfile.ZipFile(wheel) as archive:
                names = [n for n in archive.namelist() if n.startswith(FOLDERS)]
                archive.extractall(made[release], [*names, *_there(archive)])
        return made[release]

    return one


def _there(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in FILES if name in archive.namelist()]


@pytest.fixture(scope="session")
def original(unpack: Unpack) -> Path:
    return unpack(RELEASE)


@pytest.fixture(scope="session")
def applied(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release with every patch applied, manifest and all."""
    tree = tmp_path_factory.mktemp("applied") / "tree"
    shutil.copytree(original, tree)
    apply(find_tree(tree), [], all_patches())
    return tree


@pytest.fixture
def copy(applied: Path, tmp_path: Path) -> Path:
    """An applied tree that a test may spoil."""
    tree = tmp_path / "copy"
    shutil.copytree(applied, tree)
    return tree


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs verify-nsa-opt on the CPU: exit code, stdout, stderr."""

    def one(*arguments: object) -> tuple[int, str, str]:
        code = command.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return one


@pytest.fixture
def verify(run: Run, tmp_path: Path) -> Verify:
    """Runs verify-nsa-opt on the CPU: exit code and report."""

    def one(tree: Path, *arguments: object) -> tuple[int, Any]:
        file = tmp_path / "report.json"
        code, out, err = run(tree, "--device", "cpu", "--json", file, *arguments)
        assert file.exists(), out + err
        return code, json.loads(file.read_text())

    return one
