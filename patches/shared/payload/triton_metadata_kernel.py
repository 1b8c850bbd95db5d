"""Triton kernels that write NSA replay metadata straight into its buffers.

Every kernel has the same grid: one row of programs for each request, tiled over the
columns of its page table, and extra rows for the 1-D buffers.

              column tile 0   tile 1   ...
    row 0     page table of request 0
    ...
    row bs-1  page table of request bs - 1
    row bs    sequence lengths (tile 0 only)

All buffers are int32; `req_to_token` is [requests, context] int32 and contiguous
along the context. Nothing past `max_seqlen_k` columns is touched.
"""

from typing import Any, Dict, Tuple

import torch
import triton
import triton.language as tl

# 4 elements a thread: one 16 byte access.
_BLOCK_COLS = 512
# The 1-D buffers are scanned by one program, this many elements at a time.
_BLOCK_SEQS = 1024

# What a kernel is compiled for is its types and its constexprs, and nothing else: no
# batch that comes along may start a compiler. See `_launch`.
_ANY_VALUE = [
    "seq_lens",
    "seq_lens_stride",
    "req_pool_indices",
    "req_pool_indices_stride",
    "extend_seq_lens",
    "extend_seq_lens_stride",
    "req_to_token",
    "req_to_token_stride",
    "bs",
    "max_seqlen_k",
    "nsa_index_topk",
    "cache_seqlens",
    "cu_seqlens_k",
    "seqlens_expanded",
    "nsa_cache_seqlens",
    "nsa_cu_seqlens_k",
    "page_table",
    "page_table_stride",
    "real_page_table",
    "real_page_table_stride",
    "fan_out_table",
]

_compiled: Dict[Tuple, Any] = {}


def _launch(kernel, grid, inputs, args, constexprs, num_warps=4):
    """`kernel[grid](...)` at half the cost to the host.

    Triton inspects every argument of every launch to choose a compilation. Here the
    types of `inputs`, which may be int32 or int64, and the constexprs choose it, and
    the compiled kernel is launched directly.
    """
    key = (
        kernel.fn,
        inputs[0].device,
        constexprs,
        tuple([tensor.dtype for tensor in inputs]),
    )
    args = (*[x for tensor in inputs for x in (tensor, tensor.stride(0))], *args)
    compiled = _compiled.get(key)
    if compiled is not None:
        compiled[grid](*args, *constexprs)
    else:
        # None in Triton's interpreter.
        _compiled[key] = kernel[grid](*args, *constexprs, num_warps=num_warps)


def _page_grid(rows: int, max_seqlen_k: int, block_cols: int = _BLOCK_COLS):
    # Tiles first: programs that run together then write neighbouring addresses.
    return (max(1, -(-max_seqlen_k // block_cols)), rows, 1)


def _is_aligned(*tables: torch.Tensor) -> bool:
    """Whether every row of the int32 tables starts on 16 bytes."""
    for table in tables:
        if table.data_ptr() % 16 or table.stride(0) % 4:
            return False
    return True


@triton.jit
def _row_of(table, row, stride, ALIGNED: tl.constexpr):
    start = table + row.to(tl.int64) * stride
    if ALIGNED:
        # Without this hint accesses are 4 bytes wide.
        start = tl.multiple_of(start, 16)
    return start


@triton.jit
def _load_pages(
    req_pool_indices,
    req_pool_indices_stride,
    req_to_token,
    req_to_token_stride,
    row,
    start,
    max_seqlen_k,
    ALIGNED: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    req = tl.load(req_pool_indices + row * req_pool_indices_stride)
    cols = start + tl.arange(0, BLOCK_COLS)
    pages = _row_of(req_to_token, req, req_to_token_stride, ALIGNED)
    return tl.load(pages + cols, mask=cols < max_seqlen_k)


@triton.jit
def _store_pages(
    pages,
    row,
    start,
    max_seqlen_k,
    page_table,
    page_table_stride,
    real_page_table,
    real_page_table_stride,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    cols = start + tl.arange(0, BLOCK_COLS)
    row_of_pages = _row_of(page_table, row, page_table_stride, ALIGNED)
    tl.store(row_of_pages + cols, pages, mask=cols < max_seqlen_k)
    if PAGE_SIZE > 1:
        # A page starts on a multiple of 4 columns: keep one in 4, so that a thread has
        # a quarter of the addresses to work out and to mask.
        tl.static_assert(PAGE_SIZE % 4 == 0)
        halves, _ = tl.split(tl.reshape(pages, (BLOCK_COLS // 2, 2)))
        heads, _ = tl.split(tl.reshape(halves, (BLOCK_COLS // 4, 2)))
        cols = start + 4 * tl.arange(0, BLOCK_COLS // 4)
        # // truncates here and floors in PyTorch.
        real_pages = heads // PAGE_SIZE
        real_pages = tl.where(heads % PAGE_SIZE < 0, real_pages - 1, real_pages)
        row_of_pages = _row_of(real_page_table, row, real_page_table_stride, False)
        tl.store(
            row_of_pages + cols // PAGE_SIZE,
            real_pages,
            mask=(cols < max_seqlen_k) & (cols % PAGE_SIZE == 0),
        )
