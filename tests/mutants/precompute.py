"""Bugs in the patch `precompute`: compute once, copy N times."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

_BASE = "NativeSparseAttnBackend"
_COPY = f"{_BASE}.init_forward_metadata_replay_cuda_graph_from_precomputed"
_COMPUTE = f"{_BASE}._precompute_replay_metadata"
_DECODE = f"{_BASE}._precompute_decode_mode"
_MULTI = "NativeSparseAttnMultiStepBackend.init_forward_metadata_replay_cuda_graph"


def _decode(name: str, names: str, *edits: Edit) -> Mutant:
    return Mutant(name, "precompute", BACKEND, edits, "precomputed", "decode", names)


def _skip(destination: str, names: str, of: int = 1) -> Mutant:
    """The write goes into a copy of the buffer, and so nowhere."""
    return _decode(
        f"skipped write of {names}",
        names,
        Swap(_COPY, destination, f"{destination}.clone()", of=of),
    )


def _at_the_end(code: str) -> Swap:
    end = "self.forward_metadata = metadata"
    return Swap(_COPY, end, f"{code}\n{end}")


_PAGES = "metadata.page_table_1[:rows, :cols].copy_(precomputed.page_indices)"
_REAL = "metadata.real_page_table[:rows, :cols].copy_(precomputed.real_page_table)"

MUTANTS = (
    _skip("metadata.cache_seqlens_int32", "cache_seqlens_int32"),
    _skip("metadata.cu_seqlens_k[1:]", "cu_seqlens_k"),
    _skip("metadata.page_table_1[:rows, :cols]", "page_table"),
    _skip("metadata.nsa_cache_seqlens_int32[:expanded]", "nsa_cache_seqlens_int32"),
    _skip("metadata.nsa_cu_seqlens_k[1 : 1 + expanded]", "nsa_cu_seqlens_k"),
    _skip("metadata.real_page_table[:rows, :cols]", "real_page_table"),
    _decode(
        "skipped write of FlashMLA's metadata",
        "flashmla_metadata",
        Swap(_COPY, "precomputed.flashmla_metadata is not None", "False"),
    ),
    _decode(
        "one page column too few",
        "page_table",
        Swap(
            _COPY,
            _PAGES,
            "metadata.page_table_1[:rows, : cols - 1].copy_("
            "precomputed.page_indices[:, : cols - 1])",
        ),
    ),
    _decode(
        "one page column too many",
        "page_table",
        Swap(
            _DECODE,
            "self.req_to_token[req_pool_indices, :max_seqlen_k]",
            "self.req_to_token[req_pool_indices, "
            ": min(max_seqlen_k + 1, self.max_context_len)]",
        ),
    ),
    _decode(
        "stale tail cleared",
        "page_table",
        Swap(_COPY, _PAGES, f"metadata.page_table_1[:rows].fill_(0)\n{_PAGES}"),
    ),
    _decode(
        "missing last partial page",
        "real_page_table",
        Swap(
            _COPY,
            _REAL,
            "metadata.real_page_table[:rows, : cols - 1].copy_("
            "precomputed.real_page_table[:, : cols - 1])",
        ),
    ),
    _decode(
        "page ids not divided by the page size",
        "real_page_table",
        Swap(
            _COMPUTE,
            "page_indices[:, :: self.real_page_size] // self.real_page_size",
            "page_indices[:, :: self.real_page_size].contiguous()",
        ),
    ),
    _decode(
        "real pages read one column off",
        "real_page_table",
        Swap(
            _COMPUTE,
            "page_indices[:, :: self.real_page_size] // self.real_page_size",
            "torch.roll(page_indices, 1, dims=1)"
            "[:, :: self.real_page_size] // self.real_page_size",
        ),
    ),
    _decode(
        "last step backend left stale",
        "backend ",
        Swap(_MULTI, "self.attn_backends", "self.attn_backends[:-1]", nth=1, of=3),
    ),
    _decode(
        "first step backend left stale",
        "backend 0",
        Swap(_MULTI, "self.attn_backends", "self.attn_backends[1:]", nth=1, of=3),
    ),
    _decode(
        "cumulative sum without its leading zero",
        "cu_seqlens_k",
        Swap(_COPY, "metadata.cu_seqlens_k[1:]", "metadata.cu_seqlens_k[:-1]"),
    ),
    _decode(
        "leading zero written again",
        "cu_seqlens_k",
        _at_the_end("metadata.cu_seqlens_k[:1].fill_(0)"),
    ),
    _decode(
        "not clipped to the indexer's topk",
        "nsa_cache_seqlens_int32",
        Swap(
            _COMPUTE,
            "compute_nsa_seqlens(seqlens_expanded, self.nsa_index_topk)",
            "seqlens_expanded.clone()",
        ),
    ),
    _decode(
        "topk off by one",
        "nsa_cache_seqlens_int32",
        Swap(_COMPUTE, "self.nsa_index_topk", "self.nsa_index_topk + 1"),
    ),
    _decode(
        "shortest instead of longest row",
        "page_table",
        Swap(_COMPUTE, "seq_lens_cpu[:bs].max()", "seq_lens_cpu[:bs].min()"),
    ),
    _decode(
        "forward_metadata not set",
        "forward_metadata",
        Drop(_COPY, "self.forward_metadata = metadata"),
    ),
    _decode(
        "prefill implementation not decided",
        "use_mha",
        Drop(_COPY, "self.set_nsa_prefill_impl"),
    ),
    _decode(
        "gate of precompute inverted",
        "the route did not run",
        Swap(
            _MULTI,
            "NSA_PRECOMPUTE_METADATA",
            "not NSA_PRECOMPUTE_METADATA",
        ),
    ),
    _decode(
        "int64 drift: a buffer replaced by a wider one",
        "nsa_cu_seqlens_k",
        _at_the_end(
            "object.__setattr__(metadata, 'nsa_cu_seqlens_k', "
            "metadata.nsa_cu_seqlens_k.to(torch.int64))"
        ),
    ),
    _decode(
        "a captured buffer replaced by an equal one",
        "nsa_cache_seqlens_int32",
        _at_the_end(
            "object.__setattr__(metadata, 'nsa_cache_seqlens_int32', "
            "metadata.nsa_cache_seqlens_int32.clone())"
        ),
    ),
    _decode(
        "padded rows mistreated",
        "cache_seqlens",
        Swap(
            _DECODE,
            "seq_lens.to(torch.int32)",
            "torch.where(seq_lens == 1, 0, seq_lens).to(torch.int32)",
        ),
    ),
    _decode(
        "rows in the wrong order",
        "page_table",
        Swap(
            _DECODE,
            "self.req_to_token[req_pool_indices, :max_seqlen_k]",
            "self.req_to_token[req_pool_indices.flip(0), :max_seqlen_k]",
        ),
    ),
    _decode(
        "an input overwritten",
        "req_to_token",
        Swap(
            _DECODE,
            "cache_seqlens = seq_lens.to(torch.int32)",
            "cache_seqlens = seq_lens.to(torch.int32)\nself.req_to_token[-1, -1] = 0",
        ),
    ),
    _decode(
        "the caller's lengths overwritten",
        "seq_lens of given",
        Swap(
            _DECODE,
            "cache_seqlens = seq_lens.to(torch.int32)",
            "cache_seqlens = seq_lens.to(torch.int32).clone()\nseq_lens.add_(1)",
        ),
    ),
    _decode(
        "a write past the buffer",
        "guard band",
        _at_the_end(
            "metadata.nsa_cu_seqlens_k.as_strided((expanded + 2,), (1,), "
            "metadata.nsa_cu_seqlens_k.storage_offset())[-1:].fill_(0)"
        ),
    ),
)
