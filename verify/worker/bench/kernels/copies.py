"""The decode copies of 0.5.9 on, in one Triton launch, for timing those releases.

Their own kernels are CUDA compiled at run time by a package that a bare machine lacks.
The verifier's plain copies would be equal and slow; this has the launches, the bytes
and about the host time of the real thing. Other modes and FlashMLA: plain copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
import triton
import triton.language as tl

from verify.worker.tree import plain_copies

_BLOCK = 1024
_FIELDS = 6  # cache_seqlens, cu, pages, nsa, nsa_cu, real pages
_TABLES: dict[tuple[int, ...], torch.Tensor] = {}


def install(standins: dict[str, ModuleType]) -> None:
    """Put the copies where the tree looks for its own, if those are not there."""
    for name, module in standins.items():
        if name.endswith("fused_metadata_copy"):
            module.__dict__["fused_metadata_copy_multi_cuda"] = three
            module.__dict__["fused_metadata_copy_cuda"] = one


@triton.jit  # type: ignore[untyped-decorator]
def _copy_decode_kernel(  # type: ignore[no-untyped-def]
    cache,
    cu,
    pages,
    nsa,
    nsa_cu,
    real,
    table,
    pages_stride,
    to_pages_stride,
    real_stride,
    to_real_stride,
    bs,
    columns,
    real_columns,
    TARGETS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside, inside_real, one_each = at < columns, at < real_columns, at < bs
    found = tl.load(pages + row * pages_stride + at, inside)
    found_real = tl.load(real + row * real_stride + at, inside_real)
    for k in tl.static_range(TARGETS):
        to = table + k * 6
        to_pages = tl.load(to + 2).to(tl.pointer_type(tl.int32))
        tl.store(to_pages + row * to_pages_stride + at, found, inside)
        to_real = tl.load(to + 5).to(tl.pointer_type(tl.int32))
        tl.store(to_real + row * to_real_stride + at, found_real, inside_real)
        if row == 0:
            to_cache = tl.load(to).to(tl.pointer_type(tl.int32))
            tl.store(to_cache + at, tl.load(cache + at, one_each), one_each)
            to_cu = tl.load(to + 1).to(tl.pointer_type(tl.int32))
            tl.store(to_cu + 1 + at, tl.load(cu + 1 + at, one_each), one_each)
            to_nsa = tl.load(to + 3).to(tl.pointer_type(tl.int32))
            tl.store(to_nsa + at, tl.load(nsa + at, one_each), one_each)
            to_nsa_cu = tl.load(to + 4).to(tl.pointer_type(tl.int32))
            tl.store(to_nsa_cu + 1 + at, tl.load(nsa_cu + 1 + at, one_each), one_each)


def three(*args: Any) -> None:
    """What plain_copies.three does."""
    source, targets = args[:8], [args[8 * k : 8 * k + 8] for k in range(1, 4)]
    bs = int(args[-3])
    if source[5] is None or source[7] is not None:
        plain_copies.three(*args)
        return
    _launch(source[:_FIELDS], [target[:_FIELDS] for target in targets], bs)


def one(*args: Any) -> None:
    """What plain_copies.one does."""
    source, target, (mode, bs) = list(args[:9]), list(args[9:18]), args[18:20]
    del source[4], target[4]  # the expanded lengths: cache_seqlens itself in decode
    if mode != 0 or source[5] is None or source[7] is not None:
        plain_copies.one(*args)
        return
    _launch(source[:_FIELDS], [target[:_FIELDS]], int(bs))


def _launch(
    source: Sequence[torch.Tensor], targets: Sequence[Sequence[torch.Tensor]], bs: int
) -> None:
    pages, real = source[2], source[5]
    to_pages, to_real = targets[0][2], targets[0][5]
    columns = pages.shape[1]
    blocks = triton.cdiv(max(columns, real.shape[1], bs), _BLOCK)
    _copy_decode_kernel[(pages.shape[0], blocks)](
        *source,
        _table(targets),
        pages.stride(0),
        to_pages.stride(0),
        real.stride(0),
        to_real.stride(0),
        bs,
        columns,
        real.shape[1],
        TARGETS=len(targets),
        BLOCK=_BLOCK,
    )


def _table(targets: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """The targets' addresses, [targets, 6] int64, made once for a set of buffers."""
    key = tuple(tensor.data_ptr() for target in targets for tensor in target)
    if key not in _TABLES:
        device = targets[0][0].device
        _TABLES[key] = torch.tensor(key, dtype=torch.int64, device=device)
    return _TABLES[key]
