"""What an engine of tiny is given, and the GPU memory that it then takes.

By what engines took on an H200: 1.5 GiB at rest beside the KV cache, half of it the CUDA
context; 0.4 MB for each token of a prefill's chunk (FlashMLA's queries, outputs and
partial sums); DeepGEMM's logits, one float for each pair of a chunk's token and a token
of its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verify.engine.compare import Workload
from verify.engine.tiny.config import CONFIG, INDEX_DIM, RANK, ROPE

_GIB = 1 << 30
CHUNKS = (16384, 8192, 4096, 2048, 1024, 512)
WORKSPACE = 4 * _GIB
"""What a prefill may take beside weights and KV; its chunk is chosen so."""
SPARE = 1024
"""Tokens of KV that a request may need beyond its own, for drafts and whole pages."""

_AT_REST = 2 * _GIB + _GIB // 2
_LAYER = _GIB // 8
_CHUNK_TOKEN = 400_000
_SCALE = 4
_KV_TOKEN = RANK + RANK // 128 * _SCALE + 2 * ROPE + INDEX_DIM + _SCALE
"""Bytes of a token in a layer: fp8 latent and its scales, RoPE; the indexer's key."""

ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
"""A prefill's logits grow from chunk to chunk; without this torch keeps each of their
sizes for itself: 28 GiB for a prompt of 122,880 tokens."""


def arguments(cells: Sequence[Workload], new_tokens: int) -> dict[str, Any]:
    """fp8 KV as in production; nothing that needs more packages than the model does.

    Memory for what is asked and no more, so that engines fit beside each other. Graphs of
    the batch sizes that are asked: each takes its time, and others are padded to them.
    """
    sizes = sorted({1, *(cell.bs for cell in cells)})
    longest = max(cell.prompt for cell in cells)
    fitting = (c for c in CHUNKS if _prefill(c, longest) <= WORKSPACE)
    chunk = next(fitting, CHUNKS[-1])
    # Of a load as many run as there is room for: it needs some for its longest.
    lengths = [[cell.prompt] if cell.load else cell.lengths for cell in cells]
    pool = chunk + max(sum(n + new_tokens + SPARE for n in each) for each in lengths)
    return {
        "kv_cache_dtype": "fp8_e4m3",
        "max_running_requests": sizes[-1],
        "cuda_graph_bs": sizes,
        "max_total_tokens": pool - pool % 64,
        "mem_fraction_static": 0.9,  # of what is free, and others beside it take some
        "context_length": CONFIG["max_position_embeddings"],
        "chunked_prefill_size": chunk,
        "sampling_backend": "pytorch",
        "grammar_backend": "none",
        "moe_runner_backend": "triton",
        "disable_shared_experts_fusion": True,
        "device": "cuda",
    }


def needed(given: Mapping[str, Any], layers: int, longest: int) -> int:
    """Bytes of GPU memory that an engine with these arguments takes at most.

    layers: of the target. longest: prompt.
    """
    cache = given["max_total_tokens"] * _KV_TOKEN * (layers + 1)
    tokens = given["chunked_prefill_size"]
    prefill = _prefill(tokens if tokens > 0 else max(CHUNKS[0], longest), longest)
    return int(_AT_REST + _LAYER * layers + cache + prefill)


def _prefill(tokens: int, longest: int) -> int:
    return tokens * (_CHUNK_TOKEN + 4 * (longest + tokens))
