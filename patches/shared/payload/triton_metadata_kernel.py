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

import triton
import triton.language as tl

_BLOCK_COLS = 1024
# The 1-D buffers are scanned by one program, this many elements at a time.
_BLOCK_SEQS = 1024


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
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    row = row.to(tl.int64)
    cols = start + tl.arange(0, BLOCK_COLS)
    tl.store(
        page_table + row * page_table_stride + cols, pages, mask=cols < max_seqlen_k
    )
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
        tl.store(
            real_page_table + row * real_page_table_stride + cols // PAGE_SIZE,
            real_pages,
            mask=(cols < max_seqlen_k) & (cols % PAGE_SIZE == 0),
        )


@triton.jit
def _load_pages(
    req_pool_indices,
    req_pool_indices_stride,
    req_to_token,
    req_to_token_stride,
    row,
    start,
    max_seqlen_k,
    BLOCK_COLS: tl.constexpr,
):
    req = tl.load(req_pool_indices + row * req_pool_indices_stride).to(tl.int64)
    cols = start + tl.arange(0, BLOCK_COLS)
    return tl.load(
        req_to_token + req * req_to_token_stride + cols, mask=cols < max_seqlen_k
    )


def _page_grid(rows: int, max_seqlen_k: int):
    # Tiles first: programs that run together then write neighbouring addresses.
    return (max(1, -(-max_seqlen_k // _BLOCK_COLS)), rows)
