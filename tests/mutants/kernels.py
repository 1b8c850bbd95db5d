"""Bugs in the decode kernels: `fused-decode` and `fan-out`."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, Mutant
from tests.mutants.mutate import Drop, Edit, Head, Swap

_MULTI = "NativeSparseAttnMultiStepBackend"
_FUSED = "NativeSparseAttnBackend._precompute_decode_mode_fused"
_SEQLENS = "_store_decode_seqlens"
_DECODE = "_decode_metadata_kernel"
_FAN_OUT = "_fan_out_decode_metadata_kernel"


def _fused(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "fused-decode", file, edits, "fused-decode", "decode", names)


def _fan(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "fan-out", file, edits, "fan-out", "decode", names)


MUTANTS = (
    _fan(
        "kernel: one page column too many",
        "page_table",
        Swap("_store_pages", "cols < max_seqlen_k", "cols <= max_seqlen_k", of=2),
    ),
    _fused(
        "kernel: one page column too few",
        "page_table",
        Swap("_store_pages", "cols < max_seqlen_k", "cols < max_seqlen_k - 1", of=2),
    ),
    _fused(
        "kernel: real page taken from the page's end",
        "real_page_table",
        Swap(
            "_store_pages", "cols % PAGE_SIZE == 0", "cols % PAGE_SIZE == PAGE_SIZE - 4"
        ),
    ),
    _fused(
        "kernel: real pages of a wrong page size",
        "real_page_table",
        Swap("_store_pages", "heads // PAGE_SIZE", "heads // (PAGE_SIZE // 2)"),
    ),
    _fused(
        "kernel: last partial page missing",
        "real_page_table",
        Swap(
            "_store_pages",
            "cols < max_seqlen_k",
            "cols + PAGE_SIZE <= max_seqlen_k",
            nth=1,
            of=2,
        ),
    ),
    _fused(
        "kernel: cumulative sum shifted",
        "cu_seqlens_k",
        Swap(_SEQLENS, "cu_seqlens_k + 1 + i", "cu_seqlens_k + i"),
    ),
    _fused(
        "kernel: a sequence buffer not stored",
        "nsa_cache_seqlens",
        Drop(_SEQLENS, "tl.store(nsa_cache_seqlens"),
    ),
    _fused(
        "kernel: not clipped to topk",
        "nsa_cache_seqlens",
        Swap(_SEQLENS, "tl.minimum(kv_len, nsa_index_topk)", "kv_len"),
    ),
    _fan(
        "kernel: sum not carried to the next block",
        "cu_seqlens_k",
        Drop(_SEQLENS, "k_sum += tl.sum"),
    ),
    _fan(
        "kernel: one sequence too many",
        "",
        Swap(_SEQLENS, "i < bs", "i <= bs"),
    ),
    _fan(
        "kernel: every row reads the first request",
        "page_table",
        Swap("_load_pages", "row * req_pool_indices_stride", "0 * row"),
    ),
    _fused(
        "kernel: last tile of a row not walked",
        "page_table",
        Swap(
            _DECODE,
            "range(begin, max_seqlen_k, step)",
            "range(begin, max_seqlen_k - 1, step)",
        ),
    ),
    _fan(
        "last column tile not launched",
        "page_table",
        Swap(
            "_page_grid", "-(-max_seqlen_k // block_cols)", "max_seqlen_k // block_cols"
        ),
    ),
    _fused(
        "fused decode given up at once",
        "the route did not run",
        Head(_FUSED, "return None"),
        file=BACKEND,
    ),
    _fused(
        "fused copies given up for all but the first backend",
        "the route did not run",
        Head(
            "NativeSparseAttnBackend._copy_decode_metadata_fused",
            "if self.speculative_step_id:\n    return False",
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: last backend's page tables not written",
        "page_table",
        Swap(_FAN_OUT, "tl.static_range(BACKENDS)", "tl.static_range(BACKENDS - 1)"),
    ),
    _fan(
        "fan-out: last backend's lengths not written",
        "seqlens",
        Swap("fan_out_decode_metadata", "bs + backends", "bs + backends - 1"),
    ),
    _fan(
        "fan-out: two fields of the table mixed up",
        "cu_seqlens_k",
        Swap(
            _FAN_OUT,
            "_fan_out_buffer(fan_out_table, backend, 3)",
            "_fan_out_buffer(fan_out_table, backend, 1)",
        ),
    ),
    _fan(
        "fan-out: lengths of the wrong backend",
        "seqlens",
        Swap(_FAN_OUT, "row - bs", "0 * row"),
    ),
    _fan(
        "fan-out: stale pointers after a re-capture",
        "replay",
        Swap(
            f"{_MULTI}._get_fan_out_table",
            "table is None or any(a is not b for a, b in zip(table.metadata, metadata))",
            "table is None",
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: FlashMLA's metadata not for the last backend",
        "flashmla_metadata",
        Swap(
            "FanOutTable.build",
            "m.flashmla_metadata.slice(slice(0, bs + 1))",
            "(metadata[0] if m is metadata[-1] else m)"
            ".flashmla_metadata.slice(slice(0, bs + 1))",
        ),
        file=BACKEND,
    ),
    _fan(
        "fan-out: forward_metadata not set",
        "forward_metadata",
        Drop(f"{_MULTI}._set_forward_metadata", "attn_backend.forward_metadata ="),
        file=BACKEND,
    ),
    _fan(
        "gate of fan-out inverted",
        "the route did not run",
        Swap(
            f"{_MULTI}.__init__",
            "envs.SGLANG_NSA_METADATA_FAN_OUT.get()",
            "not envs.SGLANG_NSA_METADATA_FAN_OUT.get()",
        ),
        file=BACKEND,
    ),
)
