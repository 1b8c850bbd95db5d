"""The launch past Triton's own: what reaches the driver, with a driver that is not there.

TRITONS: folders with other releases of Triton, made by `pip install --no-deps --target`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patches.shared import dsa, kernels
from tests.mutants.trees import applied_tree

HERE = Path(__file__).parent
TRITONS = ("", *filter(None, os.environ.get("TRITONS", "").split(os.pathsep)))


@pytest.mark.tree
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler is for Linux")
@pytest.mark.parametrize("release", ["0.5.6.post2", "0.5.12.post1", "0.5.14", "0.5.23"])
@pytest.mark.parametrize("triton", TRITONS)
def test_every_launch_is_given_its_arguments(
    triton: str, release: str, tmp_path: Path
) -> None:
    fake = tmp_path / "libcuda.so.1"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-w", "-o", str(fake), str(HERE / "libcuda.c")],
        check=True,
    )
    (tmp_path / "libcuda.so").symlink_to(fake)
    tree = applied_tree(release)
    text = tree.read(kernels.KERNELS) or tree.read(dsa.KERNELS)
    assert text is not None
    lines = text.decode().splitlines()
    module = tmp_path / "kernel_under_test.py"
    module.write_text("\n".join(line for line in lines if "from sglang" not in line))
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env |= {
        "TRITON_CACHE_DIR": str(tmp_path / "cache"),
        "TRITON_LIBCUDA_PATH": str(tmp_path),
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": triton,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "launch_without_gpu.py"), str(module), str(fake)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "given what it should be" in done.stdout
