"""Plain copies with the signatures of the tree's JIT CUDA copy kernels (0.5.9 on)."""

from __future__ import annotations

import torch

_Maybe = torch.Tensor | None
_FIELDS = 8  # destination tensors a backend in the multi-backend kernel


def _table(dst: torch.Tensor, src: torch.Tensor) -> None:
    dst[: src.shape[0], : src.shape[1]].copy_(src)


def _flat(dst: _Maybe, src: _Maybe, count: int) -> None:
    if src is not None and dst is not None:
        dst.reshape(-1)[:count].copy_(src.reshape(-1)[:count])


def _common(
    src: tuple[_Maybe, ...],
    dst: tuple[_Maybe, ...],
    bs: int,
    columns: int,
    expanded: int,
) -> None:
    """cache_seqlens, cu, pages, nsa, nsa_cu, real table, splits, FlashMLA metadata."""
    cache, cu, pages, nsa, nsa_cu, real, splits, flashmla = src
    d_cache, d_cu, d_pages, d_nsa, d_nsa_cu, d_real, d_splits, d_flashmla = dst
    assert cu is not None
    assert d_cu is not None
    assert nsa_cu is not None
    assert d_nsa_cu is not None
    assert pages is not None
    assert d_pages is not None
    _flat(d_cache, cache, bs)
    d_cu[1 : bs + 1].copy_(cu[1 : bs + 1])
    _table(d_pages, pages[:, :columns])
    _flat(d_nsa, nsa, expanded)
    d_nsa_cu[1 : expanded + 1].copy_(nsa_cu[1 : expanded + 1])
    if real is not None and d_real is not None:
        _table(d_real, real)
    _flat(d_splits, splits, expanded + 1)
    if flashmla is not None:
        _flat(d_flashmla, flashmla, flashmla.numel())


def three(*args: torch.Tensor) -> None:
    """One source to three backends' buffers, decode only."""
    tensors, (bs, max_len, expanded) = args[:-3], args[-3:]
    src = tuple(tensors[:_FIELDS])
    for k in range(1, 4):
        dst = tuple(tensors[k * _FIELDS : (k + 1) * _FIELDS])
        _common(src, dst, int(bs), int(max_len), int(expanded))


def one(*args: torch.Tensor) -> None:
    """One source to one backend's buffers, any mode."""
    tensors, numbers = args[:18], [int(n) for n in args[18:]]
    mode, bs, max_len, max_seqlen_k, expanded = numbers
    src, dst = list(tensors[:9]), list(tensors[9:])
    expanded_src, expanded_dst = src.pop(4), dst.pop(4)
    columns, rows = (max_len, bs) if mode == 0 else (max_seqlen_k, expanded)
    _common(tuple(src), tuple(dst), bs, columns, rows)
    if mode != 0:
        _flat(expanded_dst, expanded_src, expanded)
