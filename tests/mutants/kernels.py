"""Bugs in the one kernel, its launcher and the decode patches."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, Mutant
from tests.mutants.mutate import Drop, Edit, Head, Swap

_BASE = "NativeSparseAttnBackend"
_MULTI = "NativeSparseAttnMultiStepBackend"
_KERNEL = "_metadata_kernel"
_LAUNCH = "fill_metadata_inplace"
_FUSED = f"{_BASE}._precompute_decode_mode_fused"


def _fused(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "fused-decode", file, edits, "fused", "decode", names)


def _pair(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "fused-decode", file, edits, "fused-decode", "decode", names)


def _fan(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "fan-out", file, edits, "fan-out", "decode", names)


MUTANTS = (
    _fan(
        "kernel: one page column too many",
        "page_table",
        Swap(_KERNEL, "cols < end", "cols <= end"),
    ),
    _fused(
        "kernel: the columns after the last four missing",
        "page_table",
        Drop(_KERNEL, "mask=(cols >= whole)"),
    ),
    _fused(
        "kernel: a group of four columns too many",
        "page_table",
        Swap(_KERNEL, "cols < whole", "cols < whole + 4"),
    ),
    _fan(  # up to 32 rows a tile is read before its end is known
        "kernel: a group of four columns too few read",
        "page_table",
        Swap(_KERNEL, "tl.cdiv(end, wide) * wide", "end // wide * wide"),
    ),
    _fused(
        "kernel: real page taken from the page's end",
        "real_page_table",
        Swap(_KERNEL, "source + heads", "source + heads + PAGE_SIZE - 1"),
    ),
    _fused(
        "kernel: real pages of a wrong page size",
        "real_page_table",
        Swap(_KERNEL, "real // PAGE_SIZE", "real // (PAGE_SIZE // 2)"),
    ),
    _fused(
        "kernel: last partial page missing",
        "real_page_table",
        Swap(_KERNEL, "heads < end", "heads + PAGE_SIZE <= end", nth=1, of=2),
    ),
    _fused(
        "kernel: cumulative sum shifted",
        "cu_seqlens_k",
        Swap(_KERNEL, "cu_seqlens_k + 1 + i", "cu_seqlens_k + i"),
    ),
    _fused(
        "kernel: a sequence buffer not stored",
        "nsa_cache_seqlens",
        Drop(_KERNEL, "tl.store(nsa_cache_seqlens"),
    ),
    _fused(
        "kernel: not clipped to topk",
        "nsa_cache_seqlens",
        Swap(_KERNEL, "tl.minimum(first_len + t, nsa_index_topk)", "first_len + t"),
    ),
    _fan(
        "kernel: sum not carried to the next block",
        "cu_seqlens_k",
        Drop(_KERNEL, "k_sum += tl.sum"),
    ),
    _fused(
        "kernel: sums as if nothing were clipped",
        "nsa_cu_seqlens_k",
        Drop(_KERNEL, "nsa_of_req += (tokens - short)"),
    ),
    _fan("kernel: one sequence too many", "", Swap(_KERNEL, "i < bs", "i <= bs")),
    _fan(
        "kernel: every row reads the first request",
        "page_table",
        Swap(_KERNEL, "req_pool_indices + row", "req_pool_indices + 0 * row"),
    ),
    _fused(
        "kernel: last tile of a row not walked",
        "page_table",
        Swap(
            _KERNEL,
            "range(tl.program_id(0) * BLOCK_COLS, end, step)",
            "range(tl.program_id(0) * BLOCK_COLS, end - 1, step)",
        ),
    ),
    # On a CPU no row is longer than its programs' first tiles.
    Mutant(
        "kernel: programs that share no tiles",
        "fused-decode",
        KERNELS,
        (Swap(_KERNEL, "tl.num_programs(0) * BLOCK_COLS", "1 << 30"),),
        "fused",
        "decode",
        "page_table",
        only_cuda=True,
    ),
    _fan(
        "kernel: longest row misjudged",
        "page_table",
        Swap(_KERNEL, "tl.max(longest, 0)", "tl.sum(longest, 0) // bs"),
    ),
    _fan(
        "kernel: longest row of the last block only",
        "page_table",
        Swap(
            _KERNEL,
            "tl.maximum(longest, seq_len.to(tl.int32))",
            "seq_len.to(tl.int32)",
        ),
    ),
    _fan(
        "launch: one row of programs too few",
        "page_table",
        Swap(_LAUNCH, "bs + 1", "bs"),
    ),
    _fan(
        "launch: no program beyond the first tile of a short table",
        "page_table",
        Swap(_LAUNCH, "tables[1].shape[1]", "512"),
    ),
    _fan(
        "launch: two strides mixed up",
        "",
        Swap(
            _LAUNCH,
            "[t.stride(0) for t in tables]",
            "[tables[i].stride(0) for i in (1, 0, 2)]",
        ),
    ),
    _pair(
        "fused decode given up at once",
        "the route did not run",
        Head(_FUSED, "return None"),
        file=BACKEND,
    ),
    _pair(
        "fused copies given up for all but the first backend",
        "the route did not run",
        Head(
            f"{_BASE}._fill_metadata",
            "if self.speculative_step_id:\n    return False",
        ),
        file=BACKEND,
    ),
    _pair(
        "fused copies from the pool's own rows",
        "page_table",
        Swap(
            f"{_BASE}._fill_metadata",
            "self.req_to_token if req_to_token is None else req_to_token",
            "self.req_to_token",
        ),
        file=BACKEND,
    ),
    _pair(
        "precomputed page table one column short",
        "page_table",
        Swap("precompute_decode_metadata", "max_len", "max_len - 1"),
    ),
    _fan(
        "fan-out: last backend without the shared buffers",
        "",
        Swap(
            f"{_MULTI}._use_shared_metadata",
            "self.attn_backends",
            "self.attn_backends[:-1]",
            nth=1,
            of=2,
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: captured metadata of each step's own",
        "",
        Drop(
            f"{_MULTI}.init_forward_metadata_capture_cuda_graph",
            "self._use_shared_metadata",
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: FlashMLA's metadata not written",
        "flashmla_metadata",
        Swap(
            f"{_BASE}._fill_metadata",
            'self.nsa_decode_impl == "flashmla_kv"',
            "False",
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: forward_metadata not set",
        "forward_metadata",
        Drop(f"{_MULTI}._use_shared_metadata", "backend.forward_metadata ="),
        file=BACKEND,
    ),
    _fused(
        "gate of the fused patches inverted",
        "the route did not run",
        Swap(
            f"{_BASE}.init_forward_metadata_replay_cuda_graph",
            "NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle()",
            "not NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle()",
        ),
        file=BACKEND,
    ),
    _fan(
        "gate of fan-out inverted",
        "the route did not run",
        Swap(f"{_MULTI}.__init__", "NSA_METADATA_FAN_OUT", "not NSA_METADATA_FAN_OUT"),
        file=BACKEND,
    ),
)
