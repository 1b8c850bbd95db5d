"""What is installed: the plain package needs no torch, and everything else is locked."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.verify.conftest import original, unpack

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["original", "unpack"]  # fixtures

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "ci/requirements.txt").read_text("utf-8")
BY_VERSION = ("torch", "triton")
HEAVY = ("torch", "triton", "numpy", "matplotlib")


def names(requirements: list[str]) -> set[str]:
    """Lower-case names of the packages; an extra of this project is none."""
    found = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in requirements}
    return found - {"nsa-opt"}


def locked() -> list[str]:
    """The lock's entries: a version and its hashes each."""
    lines = LOCK.replace("\\\n", "").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_plain_install_brings_nothing_heavy() -> None:
    assert not names(PROJECT["project"]["dependencies"]) & set(HEAVY)


def test_every_dependency_is_locked() -> None:
    wanted = names(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted |= names(extra)
    held = names((ROOT / "ci/torch.txt").read_text("utf-8").splitlines())
    assert held >= set(BY_VERSION)
    assert wanted - set(BY_VERSION) <= names(locked())


def test_every_locked_version_has_hashes_and_no_address() -> None:
    assert locked()
    for line in locked():
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
    assert "://" not in LOCK
    assert not names(locked()) & set(BY_VERSION)


def test_files_that_are_no_python_are_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    for package in ("patcher", "patches", "verify"):
        assert (ROOT / package / "py.typed").is_file()
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                known = any(fnmatch.fnmatch(file.name, p) for p in patterns)
                assert known, f"{file.relative_to(ROOT)} would not be in the wheel"


@pytest.mark.parametrize(
    "page", [".github/workflows/ci.yml", ".ci/run", "README.md", "CONTRIBUTING.md"]
)
def test_commands_that_are_named_are_there(page: str) -> None:
    named = set(re.findall(r"(?<![\w./])ci/\w+\b(?![./]\w)", (ROOT / page).read_text()))
    assert "ci/test" in named
    for command in named:
        assert os.access(ROOT / command, os.X_OK), command


def light(code: str) -> str:
    """Runs code where an import of what is heavy fails; its output. It must exit 0."""
    head = f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\n"
    line = [sys.executable, "-c", head + code]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.tree
def test_apply_status_and_rollback_run_where_nothing_heavy_is_installed(
    original: Path, tmp_path: Path
) -> None:
    tree = shutil.copytree(original, tmp_path / "tree")
    light(
        f"""
from patches.commands import apply, rollback, status
tree = {str(tree)!r}
sys.exit(apply([tree]) or apply(["--list"]) or status([tree]) or rollback([tree]))
"""
    )


@pytest.mark.tree
def test_verify_takes_torch_from_the_workers_interpreter(
    original: Path, tmp_path: Path
) -> None:
    tree = shutil.copytree(original, tmp_path / "tree")
    out = light(
        f"""
from patches.commands import apply
from verify.cli.verify import main
options = ["--python", sys.executable, "--device=cpu", "--route=precomputed"]
options += ["--scenario=decode:n2:p64:fa3:s32:r32:c1,3:x256:k64:d4:tour3"]
apply([{str(tree)!r}])
sys.exit(main([{str(tree)!r}, *options]))
"""
    )
    assert "identical: every byte" in out
