"""CUDA only: the host synchronisations of a call, as torch itself warns of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

# Not torch's other warning, that the mode is a prototype.
_WARNING = "called a synchronizing"


def host_syncs(call: Callable[[], None]) -> int:
    """How often `call` made the host wait for the device."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum(_WARNING in str(warning.message) for warning in caught)
