"""The CUDA kernel that writes a decode batch's NSA metadata, compiled before capture."""

import hashlib
import logging
from pathlib import Path
from typing import Callable, Optional

import torch

logger = logging.getLogger(__name__)

_NAME = "decode_metadata_kernel"
_FUNCTION = "nsa_metadata::launch_decode_metadata"
# pybind11 alone: torch's own headers would take a minute.
_BINDING = """
#include <pybind11/pybind11.h>
#include "{source}"
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("{name}", &{function}); }}
"""

_launch: Optional[Callable[..., int]] = None
_is_broken = False


def load_decode_metadata_kernel() -> None:
    """Compile the kernel, or take it from the cache; what fails is not tried again."""
    global _launch, _is_broken
    if _launch is not None or _is_broken:
        return
    try:
        _launch = _compile(Path(__file__).with_suffix(".cuh"))
        logger.info("NSA decode metadata is written by a CUDA kernel")
    except Exception as e:
        _is_broken = True
        why = f"it did not compile: {e!r:.300}"
        logger.warning(f"NSA metadata CUDA kernel is not used, {why}")


def has_decode_metadata_kernel() -> bool:
    return _launch is not None


def _compile(source: Path) -> Callable[..., int]:
    # The cache goes by the name: what is compiled includes the source, by its path.
    name = "nsa_metadata_" + hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    try:
        from sglang.jit_kernel.utils import load_jit

        module = load_jit(
            name, cuda_files=[str(source)], cuda_wrappers=[(_NAME, _FUNCTION)]
        )
    except ImportError:
        # Up to 0.5.5 there is no load_jit, and tvm-ffi may not be installed.
        from torch.utils.cpp_extension import load_inline

        binding = _BINDING.format(source=source, name=_NAME, function=_FUNCTION)
        module = load_inline(
            name,
            cpp_sources=[],
            cuda_sources=[binding],
            extra_cuda_cflags=["-O3", "-std=c++17"],
            no_implicit_headers=True,
        )
    return getattr(module, _NAME)


def precompute_decode_metadata_cuda(
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    cache_seqlens: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    page_indices: torch.Tensor,
    nsa_cache_seqlens: torch.Tensor,
    nsa_cu_seqlens_k: torch.Tensor,
    real_page_table: Optional[torch.Tensor],
    max_len: int,
    nsa_index_topk: int,
    real_page_size: int,
    leading_zero: bool = True,
) -> bool:
    """Write a decode batch's metadata in one launch; False where there is no kernel.

    Args:
        seq_lens, req_pool_indices: [>= bs] int32 or int64, contiguous.
        cache_seqlens, nsa_cache_seqlens: [bs] int32, written.
        cu_seqlens_k, nsa_cu_seqlens_k: [bs + 1] int32, written, element 0 only with
            leading_zero.
        page_indices: [bs, >= max_len] int32, written up to the longest of seq_lens, and
            not past max_len.
        real_page_table: [bs, >= ceil(max_len / real_page_size)] int32, written likewise;
            None with page size 1.
    """
    global _launch, _is_broken
    if _launch is None:
        return False
    real = page_indices if real_page_table is None else real_page_table
    error = _launch(
        seq_lens.data_ptr(),
        seq_lens.element_size(),
        req_pool_indices.data_ptr(),
        req_pool_indices.element_size(),
        req_to_token.data_ptr(),
        req_to_token.stride(0),
        cache_seqlens.data_ptr(),
        cu_seqlens_k.data_ptr(),
        nsa_cache_seqlens.data_ptr(),
        nsa_cu_seqlens_k.data_ptr(),
        page_indices.data_ptr(),
        page_indices.stride(0),
        real.data_ptr(),
        real.stride(0),
        cache_seqlens.shape[0],
        max_len,
        nsa_index_topk,
        real_page_size,
        leading_zero,
        torch._C._cuda_getCurrentRawStream(req_to_token.get_device()),
    )
    if error:
        _launch, _is_broken = None, True
        logger.warning(
            f"NSA metadata CUDA kernel is not used, {error = } at its launch"
        )
    return not error
