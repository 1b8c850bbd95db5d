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

# 8 elements a thread: two 16 byte loads in flight.
_BLOCK_COLS = 1024
# The 1-D buffers are scanned by one program, this many elements at a time.
_BLOCK_SEQS = 1024


@triton.jit
def _store_pages(
    pages,
    row,
    cols,
    mask,
    page_table,
    page_table_stride,
    real_page_table,
    real_page_table_stride,
    PAGE_SIZE: tl.constexpr,
):
    row = row.to(tl.int64)
    tl.store(page_table + row * page_table_stride + cols, pages, mask=mask)
    if PAGE_SIZE > 1:
        # // truncates here and floors in PyTorch.
        real = pages // PAGE_SIZE
        real = tl.where(pages % PAGE_SIZE < 0, real - 1, real)
        tl.store(
            real_page_table + row * real_page_table_stride + cols // PAGE_SIZE,
            real,
            mask=mask & (cols % PAGE_SIZE == 0),
        )


def _page_grid(rows: int, max_seqlen_k: int):
    return (rows, max(1, triton.cdiv(max_seqlen_k, _BLOCK_COLS)))
