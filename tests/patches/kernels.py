"""The kernel module as a tree would get it, imported without a tree."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from patcher.steps import AddModule, Workspace
from patches import all_patches
from patches.shared.fused import KERNELS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Has to be set before Triton is imported for the first time.
    os.environ["TRITON_INTERPRET"] = "1"


def created_files() -> dict[str, str]:
    """The modules that all patches together create, by package-relative path."""
    work = Workspace({})
    for patch in all_patches():
        for step in patch.steps:
            if isinstance(step, AddModule):
                step.apply(work, patch.name)
    return {file: data.decode() for file, data in work.edits().items()}


def load(name: str, text: str) -> ModuleType:
    """Import `text` from a file of its own: Triton reads a kernel's source there."""
    path = Path(tempfile.mkdtemp(prefix="nsa-opt-test-")) / f"{name}.py"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def kernels() -> Any:
    """`triton_metadata_kernel.py` with the kernels of every patch."""
    return load("triton_metadata_kernel", created_files()[KERNELS])
