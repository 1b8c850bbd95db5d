"""Launch the Triton metadata kernels, or say once why that is not possible."""

import logging
from typing import Callable, Dict, Optional

from sglang.srt.environ import envs

logger = logging.getLogger(__name__)

# None: unavailable.
_kernels: Dict[str, Optional[Callable[..., None]]] = {}


def run_fused_metadata(kernel: str, **kwargs) -> bool:
    """Run `kernel` of `triton_metadata_kernel` and return True, or return False.

    False means that the caller must take its Python path and write everything it
    owns, since a failed launch may have written some of it. The gate is read, and a
    missing Triton or a kernel that does not compile is found, on first use. That is
    logged once and not tried again: a replay is no place for a compiler.
    """
    try:
        if kernel not in _kernels:
            _kernels[kernel] = _find(kernel)
        run = _kernels[kernel]
        if run is None:
            return False
        run(**kwargs)
    except Exception as e:
        _kernels[kernel] = None
        logger.warning(
            f"NSA metadata kernel {kernel} is unavailable, "
            f"using the Python path from now on: {e!r}"
        )
        return False
    return True


def _find(kernel: str) -> Optional[Callable[..., None]]:
    if not envs.SGLANG_NSA_USE_TRITON_METADATA.get():
        logger.info(f"NSA metadata kernel {kernel} is switched off")
        return None
    from sglang.srt.layers.attention.nsa import triton_metadata_kernel

    return getattr(triton_metadata_kernel, kernel)
