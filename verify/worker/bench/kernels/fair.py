"""The stand-ins for kernels outside the tree, in one launch each like the real ones.

The verifier's are a dozen tensor operations. A side that calls one N times would look
slower than it is. These give the same values, so that a side without Triton, which
keeps the verifier's, still compares equal.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
import triton
import triton.language as tl

from verify.worker.tree.standins import NUM_SMS, settings

_PARTS = (NUM_SMS, 8)


def install(standins: dict[str, ModuleType]) -> None:
    """Replace what the stand-in modules have; before the tree imports them."""
    for name in ("sgl_kernel.flash_mla", "flash_mla"):
        if name in standins:
            standins[name].__dict__["get_mla_metadata"] = get_mla_metadata
    if "deep_gemm" in standins:  # not where the real one is installed
        name = "get_paged_mqa_logits_metadata"
        standins["deep_gemm"].__dict__[name] = get_paged_mqa_logits_metadata


def install_expand(backend: ModuleType) -> None:
    """seqlens_expand_triton, where the tree's backend imports one (0.5.12)."""
    if hasattr(backend, "seqlens_expand_triton"):
        backend.__dict__["seqlens_expand_triton"] = seqlens_expand


@triton.jit  # type: ignore[untyped-decorator]
def _schedule_kernel(  # type: ignore[no-untyped-def]
    lengths,
    parts,
    splits,
    count,
    part_count,
    topk,
    extra,
    SPLITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.arange(0, BLOCK)
    inside = at < count
    found = tl.load(lengths + at, inside, other=0).to(tl.int64)
    weight = ((at + 1).to(tl.int64) * 2654435761) % 1000003
    key = tl.sum(tl.where(inside, (found + 12345) * weight, 0), 0) % 1000000007
    filled = (at.to(tl.int64) * 7919 + (key + extra) * 31) % 2147483647
    tl.store(parts + at, filled.to(tl.int32), at < part_count)
    if SPLITS:
        ends = tl.cumsum(tl.where(inside, 1 + (found // 64) % topk, 0), 0)
        tl.store(splits + 1 + at, (ends + key % 17).to(tl.int32), inside)
        tl.store(splits + at, (key % 17).to(tl.int32) + at, at < 1)


@triton.jit  # type: ignore[untyped-decorator]
def _expand_kernel(  # type: ignore[no-untyped-def]
    extend_seq_lens, seq_lens, offsets, output, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    count = tl.load(extend_seq_lens + row)
    start = tl.load(seq_lens + row) - count + 1
    at = tl.arange(0, BLOCK)
    tl.store(output + tl.load(offsets + row) + at, start + at, at < count)


def get_mla_metadata(
    cache_seqlens: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """[num_sm_parts, 8] int32 tile schedule and [bs + 1] int32 splits."""
    count = cache_seqlens.numel()
    parts = _empty(_PARTS, cache_seqlens)
    splits = _empty((count + 1,), cache_seqlens)
    topk = int(kwargs.get("topk") or 2048)
    _schedule(cache_seqlens, parts, splits, topk, settings(*args, **kwargs))
    return parts, splits


def get_paged_mqa_logits_metadata(
    context_lens: torch.Tensor, block_kv: int, num_sms: int
) -> torch.Tensor:
    """[num_sms + 1, 2] int32."""
    parts = _empty((num_sms + 1, 2), context_lens)
    _schedule(context_lens, parts, None, 1, settings(block_kv, context_lens))
    return parts


def seqlens_expand(
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    total_len: int,
    max_q_len: int,
) -> torch.Tensor:
    """[total_len] int32, with the release's own preparation and one launch."""
    count = extend_seq_lens.numel()
    offsets = torch.zeros(count + 1, device=seq_lens.device, dtype=torch.int32)
    offsets[1:] = torch.cumsum(extend_seq_lens, dim=0)
    output = _empty((total_len,), seq_lens)
    block = triton.next_power_of_2(max_q_len)
    _expand_kernel[(count,)](extend_seq_lens, seq_lens, offsets, output, BLOCK=block)
    return output


def _schedule(
    lengths: torch.Tensor,
    parts: torch.Tensor,
    splits: torch.Tensor | None,
    topk: int,
    extra: int,
) -> None:
    count = lengths.numel()
    _schedule_kernel[(1,)](
        lengths,
        parts,
        parts if splits is None else splits,
        count,
        parts.numel(),
        topk,
        extra,
        SPLITS=splits is not None,
        BLOCK=triton.next_power_of_2(max(count, parts.numel())),
    )


def _empty(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.int32, device=like.device)
