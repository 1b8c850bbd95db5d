"""Who may import what: a worker needs torch alone, and nobody here needs libcst."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import verify

HERE = Path(verify.__file__).parent
ALLOWED = {"torch", "triton", "sglang"}


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize(
    "file", sorted(HERE.glob("worker/**/*.py")), ids=lambda f: f.name
)
def test_a_worker_module_needs_torch_alone(file: Path) -> None:
    for name in _imports(file):
        top = name.partition(".")[0]
        own = name == "verify.worker" or name.startswith("verify.worker.")
        known = own or top in sys.stdlib_module_names or top in ALLOWED
        assert known, f"{file.name} imports {name}"


@pytest.mark.parametrize("file", sorted(HERE.rglob("*.py")), ids=lambda f: f.name)
def test_nobody_imports_libcst(file: Path) -> None:
    assert not {n for n in _imports(file) if n.partition(".")[0] in ("libcst", "git")}


def test_verifying_loads_neither_libcst_nor_git() -> None:
    code = (
        "import sys, verify.verify, verify.sides.source; "
        "print(sorted({'libcst', 'git', 'patcher.plan.edits'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys, verify.cli.verify; "
        "print(sorted({'torch', 'pydantic', 'rich.table'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
