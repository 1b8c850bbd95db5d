"""What `ci/engine pack` makes of a kernel wheel."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).parents[1] / "ci"
ASK = """
import importlib.metadata as m, json
found = m.packages_distributions()
print(json.dumps([m.version("sglang-kernel"), found["sgl_kernel"], found["flash_attn"]]))
"""


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with a wheel of a few bytes for the one of 600 MB."""
    monkeypatch.syspath_prepend(CI)
    monkeypatch.delitem(sys.modules, "engine_pack", raising=False)

    def fetch(folder: Path, requirement: str) -> None:
        with zipfile.ZipFile(folder / "kernel.whl", "w") as wheel:
            for name in ("__init__.py", "sm90/ops.so", "flashmla_ops.so", "fa3.so"):
                wheel.writestr(f"sgl_kernel/{name}", requirement)

    module = importlib.import_module("engine_pack")
    monkeypatch.setattr(module, "fetch", fetch)
    return module


def test_the_kernel_is_cut_and_says_whose_it_is(pack: Any, tmp_path: Path) -> None:
    pack.cut_kernel("0.4.2", tmp_path)
    site = tmp_path / "site"
    with tarfile.open(tmp_path / "kernel.tar.xz") as archive:
        archive.extractall(site, filter="data")
    names = sorted(p.name for p in (site / "sgl_kernel").rglob("*") if p.is_file())
    assert names == ["__init__.py", "flashmla_ops.so", "ops.so"]
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["0.4.2", ["sglang_kernel"], ["stand_ins"]]
