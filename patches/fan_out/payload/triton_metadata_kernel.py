import torch
import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    _ANY_VALUE,
    _BLOCK_SEQS,
    _is_aligned,
    _launch,
    _load_pages,
    _page_grid,
    _store_decode_seqlens,
    _store_pages,
)

# With this many stores a load, larger tiles are faster.
_FAN_OUT_BLOCK_COLS = 1024

# Columns of a fan-out table: where one backend's decode buffers are.
_FAN_OUT_FIELDS = tl.constexpr(6)


@triton.jit
def _fan_out_buffer(fan_out_table, backend, field: tl.constexpr):
    address = tl.load(fan_out_table + backend * _FAN_OUT_FIELDS + field)
    return address.to(tl.pointer_type(tl.int32))


@triton.jit(do_not_specialize=_ANY_VALUE)
def _fan_out_decode_metadata_kernel(
    seq_lens,
    seq_lens_stride,
    req_pool_indices,
    req_pool_indices_stride,
    req_to_token,
    req_to_token_stride,
    bs,
    max_seqlen_k,
    nsa_index_topk,
    fan_out_table,
    page_table_stride,
    real_page_table_stride,
    BACKENDS: tl.constexpr,
    ALIGNED: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
    BLOCK_SEQS: tl.constexpr,
):
    tile = tl.program_id(0)
    row = tl.program_id(1)
    if row < bs:
        start = tile * BLOCK_COLS
        pages = _load_pages(
            req_pool_indices,
            req_pool_indices_stride,
            req_to_token,
            req_to_token_stride,
            row,
            start,
            max_seqlen_k,
            ALIGNED,
            BLOCK_COLS,
        )
        # Read once, written once for each backend.
        for backend in tl.static_range(BACKENDS):
            _store_pages(
                pages,
                row,
                start,
                max_seqlen_k,
                _fan_out_buffer(fan_out_table, backend, 4),
                page_table_stride,
                _fan_out_buffer(fan_out_table, backend, 5),
                real_page_table_stride,
                ALIGNED,
                PAGE_SIZE,
                BLOCK_COLS,
            )
    elif tile == 0:
        backend = row - bs
        _store_decode_seqlens(
            seq_lens,
            seq_lens_stride,
            bs,
            nsa_index_topk,
            _fan_out_buffer(fan_out_table, backend, 0),
            _fan_out_buffer(fan_out_table, backend, 1),
            _fan_out_buffer(fan_out_table, backend, 2),
            _fan_out_buffer(fan_out_table, backend, 3),
            BLOCK_SEQS,
        )


def fan_out_decode_metadata(
    bs: int,
    seq_lens: torch.Tensor,
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    fan_out_table: torch.Tensor,
    page_table_stride: int,
    real_page_table_stride: int,
    aligned: bool,
    max_seqlen_k: int,
    nsa_index_topk: int,
    real_page_size: int,
) -> None:
    """Write a decode batch's metadata into every backend's buffers in one launch.

    Args:
        seq_lens, req_pool_indices: [>= bs] int32 or int64, any stride.
        fan_out_table: [backends, 6] int64, the addresses of each backend's cache_seqlens,
            cu_seqlens_k, nsa_cache_seqlens, nsa_cu_seqlens_k, page_table and
            real_page_table. They are written as `precompute_decode_metadata` does.
        aligned: every row of the page tables starts on 16 bytes.
    """
    backends = fan_out_table.shape[0]
    _launch(
        _fan_out_decode_metadata_kernel,
        _page_grid(bs + backends, max_seqlen_k, _FAN_OUT_BLOCK_COLS),
        (seq_lens, req_pool_indices),
        (
            req_to_token,
            req_to_token.stride(0),
            bs,
            max_seqlen_k,
            nsa_index_topk,
            fan_out_table,
            page_table_stride,
            real_page_table_stride,
        ),
        (
            backends,
            aligned and _is_aligned(req_to_token),
            real_page_size,
            _FAN_OUT_BLOCK_COLS,
            _BLOCK_SEQS,
        ),
    )
