"""Bugs in target_verify and draft_extend: their kernels, fallbacks and pairs."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, Mutant
from tests.mutants.mutate import Drop, Edit, Set, Swap

_BASE = "NativeSparseAttnBackend"
_VERIFY = "_target_verify_metadata_kernel"
_EXTEND = "_draft_extend_metadata_kernel"
_EXPAND = "_expand_draft_tokens"
_FALLBACK = f"{_BASE}._fill_target_verify_metadata"


def _verify(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "target-verify", file, edits, "fused", "target_verify", names)


def _extend(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "draft-extend", file, edits, "fused", "draft_extend", names)


def _plain(name: str, names: str, *edits: Edit) -> Mutant:
    return Mutant(
        name, "target-verify", BACKEND, edits, "no-triton", "target_verify", names
    )


def _pair(name: str, mode: str, names: str, *edits: Edit) -> Mutant:
    return Mutant(
        name, "precompute", BACKEND, edits, "original", mode, names, pair=True
    )


MUTANTS = (
    _verify(
        "verify: a draft token does not see itself",
        "nsa_seqlens_expanded",
        Swap(_VERIFY, "seq_len + 1 + i % DRAFT_TOKENS", "seq_len + i % DRAFT_TOKENS"),
    ),
    _verify(
        "verify: rows of draft tokens overlap",
        "page_table",
        Swap(_VERIFY, "row * DRAFT_TOKENS + token", "row + token"),
    ),
    _verify(
        "verify: last draft token's row not written",
        "page_table",
        Swap(
            _VERIFY,
            "tl.static_range(DRAFT_TOKENS)",
            "tl.static_range(DRAFT_TOKENS - 1)",
        ),
    ),
    _verify(
        "verify: lengths without the draft tokens",
        "cache_seqlens",
        Swap(_VERIFY, "seq_len + DRAFT_TOKENS", "seq_len + 0"),
    ),
    _verify(
        "verify: draft tokens dealt to the wrong request",
        "nsa_seqlens_expanded",
        Swap(_VERIFY, "i // DRAFT_TOKENS", "i % bs"),
    ),
    _verify(
        "verify: clipped sum shifted",
        "nsa_cu_seqlens_k",
        Swap(_VERIFY, "nsa_cu_seqlens_k + 1 + i", "nsa_cu_seqlens_k + i"),
    ),
    _verify(
        "verify: sum not carried to the next block",
        "nsa_cu_seqlens_k",
        Drop(_VERIFY, "nsa_sum += tl.sum"),
    ),
    _verify(
        "verify: FlashMLA planned for too few rows",
        "",
        Swap(
            f"{_BASE}._replay_target_verify_metadata",
            "bs * draft_tokens + 1",
            "bs * draft_tokens",
        ),
        file=BACKEND,
    ),
    _verify(
        "gate of target-verify inverted",
        "the route did not run",
        Swap(
            f"{_BASE}.init_forward_metadata_replay_cuda_graph",
            "envs.SGLANG_NSA_USE_TRITON_METADATA.get()",
            "not envs.SGLANG_NSA_USE_TRITON_METADATA.get()",
        ),
        file=BACKEND,
    ),
    _plain(
        "verify without Triton: expanded lengths off by one",
        "nsa_seqlens_expanded",
        Swap(_FALLBACK, "draft_tokens - 1", "draft_tokens"),
    ),
    _plain(
        "verify without Triton: a page column too few",
        "page_table",
        Swap(
            _FALLBACK,
            "metadata.page_table_1[:, :max_seqlen_k].copy_(page_indices)",
            "metadata.page_table_1[:, : max_seqlen_k - 1].copy_(page_indices[:, :-1])",
        ),
    ),
    _plain(
        "verify without Triton: clipped lengths not stored",
        "nsa_cache_seqlens_int32",
        Drop(_FALLBACK, "metadata.nsa_cache_seqlens_int32.copy_"),
    ),
    _extend(
        "extend: search off by one request",
        "nsa_seqlens_expanded",
        Swap(_EXPAND, "probe <= token", "probe < token"),
    ),
    _extend(
        "extend: token sees one token too few",
        "nsa_seqlens_expanded",
        Swap(
            _EXPAND,
            "kv_len.to(tl.int32) - (end - token) + 1",
            "kv_len.to(tl.int32) - (end - token)",
        ),
    ),
    _extend(
        "extend: wrong accept length",
        "page_table",
        Swap(_EXTEND, "range(0, tokens)", "range(0, tokens - 1)"),
    ),
    _extend(
        "extend: rows begin after the request's own",
        "page_table",
        Swap(_EXTEND, "tl.sum(extend_len, 0) - tokens", "tl.sum(extend_len, 0)"),
    ),
    _extend(
        "extend: clipped sums not stored",
        "nsa_cu_seqlens_k",
        Drop(_EXTEND, "nsa_cu_seqlens_k + 1 + token"),
    ),
    _extend(
        "extend: sum not carried to the next block",
        "nsa_cu_seqlens_k",
        Drop(_EXTEND, "nsa_sum += tl.sum"),
    ),
    _extend(
        "extend: stale tokens overwritten",
        "seqlens",
        Swap(_EXTEND, "token < expanded", "token <= expanded"),
    ),
    _extend(
        "extend: FlashMLA planned for the captured size",
        "flashmla_metadata",
        Set(
            f"{_BASE}._replay_draft_extend_metadata_fused",
            "expanded",
            "bs * self.speculative_num_draft_tokens",
        ),
        file=BACKEND,
    ),
    _pair(
        "verify pair: first token off by one",
        "target_verify",
        "nsa_seqlens_expanded",
        Swap(
            f"{_BASE}._precompute_target_verify_mode",
            "draft_tokens - 1",
            "draft_tokens",
        ),
    ),
    _pair(
        "verify pair: draft tokens' pages missing",
        "target_verify",
        "page_table",
        Drop(f"{_BASE}._precompute_replay_metadata", "max_seqlen_k += self"),
    ),
    _pair(
        "extend pair: wrong accept length",
        "draft_extend",
        "",
        Swap(
            f"{_BASE}._precompute_replay_metadata",
            "spec_info.accept_length[:bs]",
            "torch.ones_like(spec_info.accept_length[:bs])",
        ),
    ),
    _pair(
        "extend pair: tokens end before the sequence does",
        "draft_extend",
        "nsa_seqlens_expanded",
        Swap(
            f"{_BASE}._precompute_draft_extend_mode",
            "cache_seqlens - ends + 1",
            "cache_seqlens - ends",
        ),
    ),
    _pair(
        "extend pair: expanded lengths not copied",
        "draft_extend",
        "nsa_seqlens_expanded",
        Swap(
            f"{_BASE}.init_forward_metadata_replay_cuda_graph_from_precomputed",
            "metadata.nsa_seqlens_expanded[:expanded]",
            "metadata.nsa_seqlens_expanded[:expanded].clone()",
        ),
    ),
)
