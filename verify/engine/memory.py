"""What an engine of `tiny` takes of a GPU's memory, and whether all of them fit.

By what engines took on an H200: 1.5 GiB at rest beside the KV cache, half of it the CUDA
context; 0.4 MB for each token of a prefill's chunk (FlashMLA's queries, outputs and
partial sums); DeepGEMM's logits, one float for each pair of a chunk's token and a token
of its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from patcher.results import Exit, Reason, Refusal
from verify.engine import tiny

GIB = 1 << 30
CHUNKS = (16384, 8192, 4096, 2048, 1024, 512)
WORKSPACE = 4 * GIB
"""What a prefill may take beside weights and KV; its chunk is chosen so."""

_AT_REST = 2 * GIB + GIB // 2
_LAYER = GIB // 8
_CHUNK_TOKEN = 400_000
_LATENT, _SCALE = tiny.CONFIG["kv_lora_rank"], 4
_KV_TOKEN = (
    _LATENT + _LATENT // 128 * _SCALE + 2 * tiny.CONFIG["qk_rope_head_dim"]
    + tiny.CONFIG["index_head_dim"] + _SCALE
)  # fmt: skip
"""Bytes of a token in a layer: fp8 latent and its scales, RoPE; the indexer's key."""

ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
"""A prefill's logits grow from chunk to chunk; without this torch keeps each of their
sizes for itself: 28 GiB for a prompt of 122,880 tokens."""

_SAID = re.compile(r"CUDA (?:error: )?out of memory(\. Tried to allocate [\d.]+ \w+)?")


def chunk(longest: int) -> int:
    """`chunked_prefill_size` for prompts up to `longest`: what `WORKSPACE` has room for."""
    room = (c for c in CHUNKS if _prefill(c, longest) <= WORKSPACE)
    return next(room, CHUNKS[-1])


def needed(given: Mapping[str, Any], layers: int, longest: int) -> int:
    """Bytes that an engine with these arguments takes at most.

    layers: of the target. longest: prompt.
    """
    cache = given["max_total_tokens"] * _KV_TOKEN * (layers + 1)
    tokens = given["chunked_prefill_size"]
    prefill = _prefill(tokens if tokens > 0 else max(CHUNKS[0], longest), longest)
    return int(_AT_REST + _LAYER * layers + cache + prefill)


def _prefill(tokens: int, longest: int) -> int:
    return tokens * (_CHUNK_TOKEN + 4 * (longest + tokens))


def check(each: int, engines: int, free: int, total: int, where: str) -> None:
    """Raises `Refusal` if so many engines of `each` bytes are more than is free."""
    if each * engines <= free:
        return
    many = "an engine" if engines == 1 else f"{engines} engines beside each other"
    what = (
        f"{many} would take {each * engines / GIB:.1f} GiB of GPU memory, "
        f"{each / GIB:.1f} each; {free / GIB:.1f} of {total / GIB:.1f} GiB are free"
    )
    hint = (
        "end what else runs on the GPU, or fewer or shorter requests (--bs, --prompt)"
    )
    if engines > 1:
        hint += ", or without --beside"
    raise Refusal(Reason(where, "", what, hint), code=Exit.UNAVAILABLE)


def out_of(lines: Iterable[str]) -> str:
    """What an engine printed when it found no memory; empty: it did not."""
    found = (_SAID.search(line) for line in lines)
    return next((f"out of GPU memory{match[1] or ''}" for match in found if match), "")
