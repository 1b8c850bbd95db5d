"""Bugs in target_verify and draft_extend: their kernels, fallbacks and pairs."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

_BASE = "NativeSparseAttnBackend"
_KERNEL = "_metadata_kernel"
_REPLAY = f"{_BASE}.init_forward_metadata_replay_cuda_graph"


def _verify(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "target-verify", file, edits, "fused", "target_verify", names)


def _extend(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "draft-extend", file, edits, "fused", "draft_extend", names)


def _plain(name: str, mode: str, names: str, *edits: Edit) -> Mutant:
    return Mutant(name, "precompute", BACKEND, edits, "precomputed", mode, names)


def _pair(name: str, mode: str, names: str, *edits: Edit) -> Mutant:
    return Mutant(
        name, "precompute", BACKEND, edits, "precomputed", mode, names, pair=True
    )


MUTANTS = (
    _verify(
        "verify: a draft token does not see itself",
        "nsa_seqlens_expanded",
        Swap(_KERNEL, "kv_len - tokens + 1", "kv_len - tokens"),
    ),
    _verify(
        "verify: rows of draft tokens overlap",
        "page_table",
        Swap(_KERNEL, "row.to(tl.int64) * most", "row.to(tl.int64)"),
    ),
    _verify(
        "verify: last draft token's row not written",
        "page_table",
        Swap(_KERNEL, "range(0, tokens)", "range(0, tokens - 1)"),
    ),
    _verify(
        "verify: lengths without the draft tokens",
        "cache_seqlens",
        Swap(
            _KERNEL,
            "tl.load(seq_lens + i, mask=mask, other=0) + DRAFT_TOKENS",
            "tl.load(seq_lens + i, mask=mask, other=0)",
        ),
    ),
    _verify(
        "verify: columns without the draft tokens",
        "page_table",
        Swap(_KERNEL, "tl.max(longest, 0) + DRAFT_TOKENS", "tl.max(longest, 0)"),
    ),
    _verify(
        "verify: draft tokens dealt to the wrong request",
        "nsa_seqlens_expanded",
        Swap(_KERNEL, "i * most", "i"),
    ),
    _verify(
        "verify: clipped sum shifted",
        "nsa_cu_seqlens_k",
        Swap(
            _KERNEL, "nsa_cu_seqlens_k + 1 + token + t", "nsa_cu_seqlens_k + token + t"
        ),
    ),
    _verify(
        "verify: sum not carried to the next block",
        "nsa_cu_seqlens_k",
        Drop(_KERNEL, "nsa_sum += tl.sum"),
    ),
    _verify(
        "verify: clipped lengths summed over one token only",
        "nsa_cu_seqlens_k",
        Swap(_KERNEL, "tokens - short", "1 - short"),
    ),
    _verify(
        "verify: FlashMLA planned for too few rows",
        "",
        Swap(f"{_BASE}._fill_metadata", "bs * max(draft_tokens, 1)", "bs"),
        file=BACKEND,
    ),
    _verify(
        "gate of target-verify inverted",
        "the route did not run",
        Swap(
            _REPLAY,
            "NSA_USE_TRITON_METADATA and forward_mode.is_target_verify()",
            "not NSA_USE_TRITON_METADATA and forward_mode.is_target_verify()",
        ),
        file=BACKEND,
    ),
    _plain(
        "vectorized verify: expanded lengths off by one",
        "target_verify",
        "nsa_seqlens_expanded",
        Swap(
            f"{_BASE}._precompute_target_verify_mode",
            "draft_tokens - 1",
            "draft_tokens",
        ),
    ),
    _plain(
        "vectorized verify: one replay's metadata for all",
        "target_verify",
        "",
        Swap(_REPLAY, "NSA_PRECOMPUTE_METADATA", "not NSA_PRECOMPUTE_METADATA"),
    ),
    _plain(
        "vectorized extend: clipped lengths not stored",
        "draft_extend",
        "nsa_cache_seqlens_int32",
        Swap(
            f"{_BASE}.init_forward_metadata_replay_cuda_graph_from_precomputed",
            "metadata.nsa_cache_seqlens_int32[:expanded]",
            "metadata.nsa_cache_seqlens_int32[:expanded].clone()",
        ),
    ),
    _extend(
        "extend: rows begin with the request's own tokens counted",
        "page_table",
        Swap(_KERNEL, "i + seqs < row", "i + seqs <= row"),
    ),
    _extend(
        "extend: wrong accept length",
        "page_table",
        Swap(_KERNEL, "extend_seq_lens + row", "extend_seq_lens"),
    ),
    _extend(
        "extend: tokens begin at the request's end",
        "nsa_seqlens_expanded",
        Swap(
            _KERNEL,
            "token_sum + tl.cumsum(tokens, 0) - tokens",
            "token_sum + tl.cumsum(tokens, 0)",
        ),
    ),
    _extend(
        "extend: tokens not carried to the next block",
        "nsa_seqlens_expanded",
        Drop(_KERNEL, "token_sum += tl.sum"),
    ),
    _extend(
        "extend: clipped sums not stored",
        "nsa_cu_seqlens_k",
        Drop(_KERNEL, "nsa_cu_seqlens_k + 1 + token"),
    ),
    _extend(
        "extend: sum not carried to the next block",
        "nsa_cu_seqlens_k",
        Drop(_KERNEL, "nsa_sum += tl.sum"),
    ),
    _extend(
        "extend: stale tokens overwritten",
        "seqlens",
        Swap(_KERNEL, "mask = t < tokens", "mask = t <= tokens"),
    ),
    _extend(
        "extend: FlashMLA planned for the captured size",
        "flashmla_metadata",
        Swap(
            f"{_BASE}._fill_metadata",
            "int(extend_seq_lens[:bs].sum().item())",
            "bs * self.speculative_num_draft_tokens",
        ),
        file=BACKEND,
    ),
    Mutant(
        "extend pair: the kernel's lengths off by one",
        "draft-extend",
        BACKEND,
        (
            Swap(
                f"{_BASE}._expand_draft_extend_seqlens",
                "expanded[0]",
                "expanded[0] + 1",
            ),
        ),
        "fused",
        "draft_extend",
        "nsa_seqlens_expanded",
        pair=True,
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
            f"{_BASE}._expand_draft_extend_seqlens",
            "seq_lens - ends + 1",
            "seq_lens - ends",
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
