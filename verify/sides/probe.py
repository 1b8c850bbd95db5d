"""Asks an interpreter whether it has torch, and whether torch sees a GPU."""

from __future__ import annotations

import subprocess

from patcher.results import Exit, Reason, Refusal

_ASK = "import torch; print(int(torch.cuda.is_available()))"


def has_cuda(python: str | None) -> bool:
    """Raises `Refusal` where the interpreter does not start or has no torch.

    python: None is this one.
    """
    if python is None:
        import torch

        return torch.cuda.is_available()
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


def _refusal(python: str, what: str) -> Refusal:
    hint = "--python must be an interpreter of 3.10 or newer with torch"
    return Refusal(Reason(python, "", what, hint), code=Exit.UNAVAILABLE)
