"""Asks an interpreter whether it has torch, and whether torch sees a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys

from patcher.results import Exit, Reason, Refusal, require_known

DEVICES = ("auto", "cpu", "cuda")

_ASK = "import torch; print(int(torch.cuda.is_available()))"

_FIND = """
from importlib.util import find_spec
print(*(n for n in ("torch", "triton", "numpy") if find_spec(n)))
"""


def device(wanted: str, python: str | None) -> str:
    """cpu or cuda, as the workers' own interpreter can do it. Raises Refusal."""
    require_known([wanted], DEVICES, "device", "--device")
    if wanted == "cpu":
        require_interpreter(python)
        return "cpu"
    found = has_cuda(python)
    if wanted == "cuda" and not found:
        what = "--device cuda: torch sees no CUDA device"
        raise Refusal(Reason("", "", what, "use --device cpu"), code=Exit.UNAVAILABLE)
    return "cuda" if found else "cpu"


def require_interpreter(python: str | None) -> None:
    """Sees that workers on a CPU have what they need, in `python` (None: here).

    Raises Refusal where it does not start, or lacks torch, or what Triton needs there.
    """
    done = _run([python or sys.executable, "-c", _FIND], timeout=30)
    there = done.stdout.split()
    if "torch" not in there:
        raise _no_torch(python)
    if "triton" in there and "numpy" not in there:
        what = "has Triton and no numpy, which Triton's interpreter needs on a CPU"
        raise _refusal(python or sys.executable, what, "pip install numpy there")


def has_cuda(python: str | None) -> bool:
    """Whether the workers' interpreter (None: this one) sees a GPU.

    Raises Refusal where it does not start or has no torch.
    """
    if python is None:
        if importlib.util.find_spec("torch") is None:
            raise _no_torch(None)
        if not _has_driver():
            return False
        python = sys.executable
    return _run([python, "-c", _ASK], timeout=120).stdout.strip() == "1"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False
        )
    except OSError as error:
        raise _refusal(command[0], f"does not start: {error.strerror}") from None
    except subprocess.TimeoutExpired as error:
        raise _refusal(command[0], f"does not start: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _refusal(command[0], f"cannot import torch: {last}")
    return done


def _no_torch(python: str | None) -> Refusal:
    if python is not None:
        return _refusal(python, "has no torch")
    what = "torch is not installed here"
    todo = "pip install 'nsa-opt[verify]', or --python one that has it"
    return Refusal(Reason("", "", what, todo), code=Exit.UNAVAILABLE)


def _refusal(
    python: str,
    what: str,
    hint: str = "--python must be an interpreter of 3.10 or newer with torch",
) -> Refusal:
    return Refusal(Reason(python, "", what, hint), code=Exit.UNAVAILABLE)
