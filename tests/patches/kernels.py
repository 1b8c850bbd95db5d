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

from patcher.steps import Workspace
from patches import HERE
from patches.shared.kernels import KERNELS, scheduling_kernels
from patches.shared.kernels import kernels as kernel_step

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Has to be set before Triton is imported for the first time.
    os.environ["TRITON_INTERPRET"] = "1"


def kernel_module() -> str:
    """The text of the kernel module, with what every patch adds to it."""
    work = Workspace({})
    for name in ("shared", "fused_decode", "draft_extend"):
        kernel_step(HERE / name / "payload").apply(work, name)
    return work.edits()[KERNELS].decode()


def scheduling_module() -> str:
    """The same from 0.5.7 on, where the kernel makes DeepGEMM's schedule too."""
    work = Workspace({})
    for step in scheduling_kernels(KERNELS):
        step.apply(work, "fan-out")
    return work.edits()[KERNELS].decode()


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
    return load("triton_metadata_kernel", kernel_module())
