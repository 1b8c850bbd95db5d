"""Bugs in `cuda-decode`: in its CUDA source, its launcher, and where it is called."""

from __future__ import annotations

import shutil

from tests.mutants.catalogue import BACKEND, KERNELS, RELEASE, Mutant
from tests.mutants.mutate import Drop, Edit, Swap, Text

_FOLDER = "sglang/srt/layers/attention/nsa"
_SOURCE = f"{_FOLDER}/cuda_metadata_kernel.cuh"
_LAUNCHER = f"{_FOLDER}/cuda_metadata_kernel.py"
_LAUNCH = "precompute_decode_metadata_cuda"
_BASE = "NativeSparseAttnBackend"
_TREE = f"{RELEASE}+cuda-decode"
_DSA = "sglang/srt/layers/attention/dsa"
_MIXIN = "DeepseekSparseAttnBackendMTPPrecomputeMixin"


def _planted(
    name: str, names: str, *edits: Edit, file: str = _SOURCE, route: str = "cuda"
) -> Mutant:
    """Met alone; `cuda-fan-out` has batches of more than one block's requests too."""
    return Mutant(
        f"cuda: {name}", "cuda-decode", file, edits, route, "decode", names,
        release=_TREE, only_cuda=shutil.which("g++") is None,
    )  # fmt: skip


def _source(name: str, names: str, old: str, new: str, route: str = "cuda") -> Mutant:
    return _planted(name, names, Text(old, new), route=route)


_SUMS = "cuda-fan-out"

MUTANTS = (
    _source("one column too few", "page_table", "i < end; i +=", "i < end - 1; i +="),
    _source("one column too many", "page_table", "i < end; i +=", "i <= end; i +="),
    _source(
        "a group of four columns too many",
        "page_table",
        "d.aligned ? end / 4 : 0",
        "d.aligned ? (end + 3) / 4 : 0",
    ),
    _source(
        "a block's second group of columns left out",
        "page_table",
        "if (j < wide) wide_pages[j] = wide_source[j];",
        "",
    ),
    _source(
        "the columns after the last four again from the first",
        "page_table",
        "for (int i = 4 * wide + first;",
        "for (int i = 4 * wide + 4 + first;",
    ),
    _source(
        "row of the wrong request",
        "page_table",
        "static_cast<const Req*>(d.req_pool_indices)[row]",
        "row",
    ),
    _source(
        "the next row's page table",
        "page_table",
        "d.page_table + row * d.page_table_stride",
        "d.page_table + (row ^ 1) % d.bs * d.page_table_stride",
    ),
    _source(
        "last partial page missing",
        "real_page_table",
        "(end + d.page_size - 1) / d.page_size",
        "end / d.page_size",
    ),
    _source(
        "real page taken from the page's end",
        "real_page_table",
        "source[static_cast<int64_t>(i) * d.page_size]",
        "source[static_cast<int64_t>(i) * d.page_size + d.page_size - 1]",
    ),
    _source(
        "real page is the token's",
        "real_page_table",
        "floor_div(source[static_cast<int64_t>(i) * d.page_size], d.page_size)",
        "source[static_cast<int64_t>(i) * d.page_size]",
    ),
    _source(
        "real page table left out",
        "real_page_table",
        "if (d.page_size > 1) {",
        "if (d.page_size > 64) {",
    ),
    _source(
        "lengths not clipped to topk",
        "nsa_cache_seqlens",
        "len < d.topk ? len : d.topk",
        "len",
    ),
    _source(
        "lengths clipped one below topk",
        "nsa_cache_seqlens",
        "len < d.topk ? len : d.topk",
        "len < d.topk ? len : d.topk - 1",
    ),
    _source(
        "sums begin at their own place",
        "cu_seqlens_k",
        "d.cu_seqlens_k[1 + i] =",
        "d.cu_seqlens_k[i] =",
    ),
    _source(
        "clipped sums of unclipped lengths",
        "nsa_cu_seqlens_k",
        "warp_sum_to(is_request ? nsa_len : 0)",
        "warp_sum_to(len)",
    ),
    _source(
        "sums without the warps before",
        "cu_seqlens_k",
        "if (w < warp) {",
        "if (w < 0) {",
        _SUMS,
    ),
    _source(
        "sums with the own warp twice",
        "cu_seqlens_k",
        "if (w < warp) {",
        "if (w <= warp) {",
    ),
    _source(
        "a scan that stops at sixteen lanes",
        "cu_seqlens_k",
        "step < kWarp; step *= 2",
        "step < kWarp / 2; step *= 2",
        _SUMS,
    ),
    _source(
        "a lane adds what is its own",
        "cu_seqlens_k",
        "if (lane >= step) value += below;",
        "value += below;",
    ),
    _source(
        "totals not carried to the next requests",
        "cu_seqlens_k",
        "      k_sum += k_of_warp[w];\n",
        "",
        _SUMS,
    ),
    _source(
        "totals read before they are written",
        "cu_seqlens_k",
        "    __syncthreads();\n    uint32_t k_before",
        "    uint32_t k_before",
        _SUMS,
    ),
    _source(
        "the leading zero written although it is not asked for",
        "cu_seqlens_k",
        "if (d.leading_zero && threadIdx.x == 0)",
        "if (threadIdx.x == 0)",
    ),
    _source(
        "the longest of half a warp's lengths",
        "page_table",
        "int step = kWarp / 2; step > 0",
        "int step = kWarp / 2; step > 1",
    ),
    _source(
        "the longest of the first warp of lengths only",
        "page_table",
        "i < d.bs; i += together",
        "i < d.bs && i < 32; i += together",
        _SUMS,
    ),
    _source(
        "lengths not written by the one block",
        "cache_seqlens",
        "if (blockIdx.x == 0) write_lengths<Len>(d);",
        "if (blockIdx.x == 0 && !alone) write_lengths<Len>(d);",
        "cuda-decode",
    ),
    _source(
        "the one block writes its first row only",
        "page_table",
        "const int rows = alone ? 1 : gridDim.y - 1;",
        "const int rows = alone ? d.bs : gridDim.y - 1;",
        "cuda-decode",
    ),
    _source(
        "64-bit lengths read as 32-bit ones",
        "",
        "if (seq_len_bytes == 4) {",
        "if (seq_len_bytes >= 4) {",
    ),
    _source(
        "32-bit indices read as 64-bit ones",
        "",
        "return req_index_bytes == 4 ? launch<int32_t, int32_t>(d, on) :",
        "return req_index_bytes == 0 ? launch<int32_t, int32_t>(d, on) :",
    ),
    _planted(
        "a row's length for its stride",
        "page_table",
        Swap(_LAUNCH, "req_to_token.stride(0)", "max_len"),
        file=_LAUNCHER,
    ),
    _planted(
        "the page table for the real one",
        "",
        Swap(
            _LAUNCH,
            "page_indices if real_page_table is None else real_page_table",
            "page_indices",
        ),
        file=_LAUNCHER,
    ),
    _planted(
        "as many requests as lengths were handed over",
        "",
        Swap(_LAUNCH, "cache_seqlens.shape[0]", "seq_lens.shape[0] + 1"),
        file=_LAUNCHER,
    ),
    _planted(
        "never compiled",
        "the route did not run",
        Drop(f"{_BASE}.init_cuda_graph_state", "load_decode_metadata_kernel"),
        file=BACKEND,
    ),
    _planted(
        "compiled and not called",
        "the route did not run",
        Swap("fill_metadata_inplace", "not draft_tokens", "draft_tokens"),
        file=KERNELS,
    ),
    _planted(
        "said to be done although it was not",
        "",
        Swap(_LAUNCH, "_launch is None", "_launch is not None"),
        Swap(_LAUNCH, "False", "True", of=1),
        file=_LAUNCHER,
    ),
    _planted(
        "every column that the caller has",
        "page_table",
        Swap(
            "fill_metadata_inplace",
            "pages.shape[1] if max_cols is None else max_cols",
            "pages.shape[1] - 64 if max_cols is None else max_cols",
        ),
        file=KERNELS,
    ),
    _planted(
        "the gate inverted",
        "the route did not run",
        Swap(
            f"{_BASE}.init_cuda_graph_state",
            "NSA_USE_CUDA_METADATA",
            "not NSA_USE_CUDA_METADATA",
        ),
        file=BACKEND,
    ),
    *(
        Mutant(
            f"cuda: {name}",
            "cuda-decode",
            f"{_DSA}/{file}",
            (edit,),
            "cuda-decode",
            "decode",
            names,
            release="0.5.13.post1+cuda-decode",
            only_cuda=shutil.which("g++") is None,
        )
        for name, names, file, edit in (
            (
                "wide accesses where rows do not begin on 16 bytes",
                "",
                "cuda_metadata_kernel.cuh",
                Text(
                    "d.aligned = (req_to_token | page_table | 4 * req_to_token_stride | "
                    "4 * page_table_stride) % 16 == 0;",
                    "d.aligned = true;",
                ),
            ),
            (
                "upstream's precompute with a row too few",
                "",
                "dsa_backend_mtp_precompute.py",
                Swap(
                    f"{_MIXIN}._precompute_decode_mode_cuda",
                    "max(seq_lens_cpu.tolist())",
                    "seq_lens_cpu.tolist()[0]",
                ),
            ),
            (
                "upstream's precompute called all the same",
                "the route did not run",
                "dsa_backend_mtp_precompute.py",
                Swap(
                    f"{_MIXIN}._precompute_decode_mode_cuda",
                    "not has_decode_metadata_kernel()",
                    "has_decode_metadata_kernel()",
                ),
            ),
            (
                "upstream's precompute unclipped",
                "dsa_cache_seqlens",
                "dsa_backend_mtp_precompute.py",
                Swap(
                    f"{_MIXIN}._precompute_decode_mode_cuda",
                    "self.dsa_index_topk",
                    "1 << 30",
                ),
            ),
        )
    ),
)
