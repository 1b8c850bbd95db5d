"""Launch the Triton metadata kernels, or say once why that is not possible."""

import logging
from typing import Set

from sglang.srt.environ import envs

logger = logging.getLogger(__name__)

_kernels = None
_unavailable: Set[str] = set()


def run_fused_metadata(kernel: str, **kwargs) -> bool:
    """Run `kernel` of `triton_metadata_kernel` and return True, or return False.

    False means that the caller must take its Python path and write everything it
    owns, since a failed launch may have written some of it. A missing Triton or a
    kernel that does not compile is found on first use, logged once, and not tried
    again: a replay is no place for a compiler.
    """
    global _kernels
    if kernel in _unavailable or not envs.SGLANG_NSA_USE_TRITON_METADATA.get():
        return False
    try:
        if _kernels is None:
            from sglang.srt.layers.attention.nsa import triton_metadata_kernel

            _kernels = triton_metadata_kernel
        getattr(_kernels, kernel)(**kwargs)
    except Exception as e:
        _unavailable.add(kernel)
        logger.warning(
            f"NSA metadata kernel {kernel} is unavailable, "
            f"using the Python path from now on: {e!r}"
        )
        return False
    return True
