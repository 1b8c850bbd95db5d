"""Asks an interpreter whether it has torch, and whether torch sees a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys

from patcher.results import Exit, Reason, Refusal

_ASK = "import torch; print(int(torch.cuda.is_available()))"


def has_cuda(python: str | None) -> bool:
    """Whether the workers' interpreter (None: this one) sees a GPU.

    Raises Refusal where it does not start or has no torch.
    """
    if python is None:
        if importlib.util.find_spec("torch") is None:
            what = "torch is not installed here"
            todo = "pip install 'nsa-opt[verify]', or --python one that has it"
            raise Refusal(Reason("", "", what, todo), code=Exit.UNAVAILABLE)
        if not _has_driver():
            return False
        python = sys.executable
    command = [python, "-c", _ASK]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refusal(command[0], f"does not start: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _refusal(command[0], f"cannot import torch: {last}")
    return done.stdout.strip() == "1"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _refusal(python: str, what: str) -> Refusal:
    hint = "--python must be an interpreter of 3.10 or newer with torch"
    return Refusal(Reason(python, "", what, hint), code=Exit.UNAVAILABLE)
