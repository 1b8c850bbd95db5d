import weakref
from typing import Any, Callable, Dict, Optional, Tuple

import torch
import triton

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import _metadata_kernel

# By constexprs and types, and, for buffers that stay, how to launch on them.
_compiled: Dict[Tuple, Any] = {}
_launches: Dict[Tuple, Tuple] = {}


def _direct_launch(grid, inputs, buffers, numbers) -> Optional[Callable]:
    """The kernel bound to its buffers; None in Triton's interpreter.

    Triton's own way looks at every argument at every launch, to choose a compilation.
    """
    if not isinstance(_metadata_kernel, triton.JITFunction):
        return None
    key = (*numbers[5:], *(t.dtype for t in inputs))
    if key not in _compiled:
        arguments = (*inputs, *buffers, *numbers)
        _compiled[key] = _metadata_kernel.warmup(*arguments, grid=grid)
        _compiled[key]._init_handles()
    compiled = _compiled[key]
    run = compiled.run
    # No metadata of the launch, and no hooks of Triton's profiler.
    handles = (compiled.function, compiled.packed_metadata, None, None, None)
    # From Triton 3.3 on the launcher is given the constexprs too.
    passed = len(numbers) if "constexpr" in compiled.src.signature.values() else 5
    args = (*(t.data_ptr() for t in buffers), *numbers[:passed])
    device = inputs[0].get_device()
    get_stream = triton.runtime.driver.active.get_current_stream

    def launch(*inputs):
        starts = [t.data_ptr() for t in inputs]
        run(*grid, get_stream(device), *handles, *starts, *args)

    return launch


class Kept:
    def fill_metadata_inplace(
        metadata,
        bs: int,
        seq_lens: torch.Tensor,
        req_pool_indices: torch.Tensor,
        req_to_token: torch.Tensor,
        nsa_index_topk: int,
        draft_tokens: int = 0,
        extend_seq_lens: Optional[torch.Tensor] = None,
        max_cols: Optional[int] = None,
    ) -> bool:
        extend = seq_lens if extend_seq_lens is None else extend_seq_lens
        types = (seq_lens.dtype, req_pool_indices.dtype, extend.dtype)
        mode = (nsa_index_topk, draft_tokens, extend_seq_lens is None, max_cols)
        kept = (id(metadata), bs, *mode, *types)
        of, source, launch = _launches.get(kept, (None, None, None))
        if launch and of() is metadata and source() is req_to_token:
            launch(seq_lens, req_pool_indices, extend)
            return True

    def fill_draft_metadata(
        metadata,
        seq_lens: torch.Tensor,
        req_pool_indices: torch.Tensor,
        req_to_token: torch.Tensor,
        dsa_index_topk: int,
        remainder: Optional[str],
        limits: Optional[torch.Tensor],
    ) -> bool:
        types = (seq_lens.dtype, req_pool_indices.dtype)
        kept = (id(metadata), dsa_index_topk, remainder, id(limits), *types)
        of, source, launch = _launches.get(kept, (None, None, None))
        if launch and of() is metadata and source() is req_to_token:
            launch(seq_lens, req_pool_indices)
            return True


class Keep:
    def fill_metadata_inplace(
        metadata, req_to_token: torch.Tensor, grid, inputs, buffers, numbers, kept
    ) -> bool:
        launch = _direct_launch(grid, inputs, buffers, numbers)
        if launch:
            launch(*inputs)
            if hasattr(metadata, "__weakref__"):
                refs = (weakref.ref(metadata), weakref.ref(req_to_token))
                _launches[kept] = (*refs, launch)
            return True
