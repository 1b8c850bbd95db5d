"""Consumers that do read the wide page table, where `no-wide-table` leaves it out."""

from __future__ import annotations

from tests.mutants.catalogue import DSA_BACKEND, NEWEST, Mutant
from tests.mutants.mutate import Swap

_DSA = "sglang/srt/layers/attention/dsa"
_DECODE = "DeepseekSparseAttnBackend.forward_decode"


def _mutant(name: str, names: str, swap: Swap, file: str = DSA_BACKEND) -> Mutant:
    return Mutant(
        f"newest: {name}", "no-wide-table", file, (swap,), "no-wide-table",
        "decode@runner", names, kind="readers of the wide table",
        release=f"{NEWEST}+no-wide-table",
    )  # fmt: skip


MUTANTS = (
    _mutant(
        "attention looks its slots up in the wide table",
        "attention",
        Swap(_DECODE, "self.use_fused_topk", "False"),
    ),
    _mutant(
        "attention is handed the wide table beside its slots",
        "attention",
        Swap(
            _DECODE,
            "self._get_fused_topk_page_table(topk_indices)",
            "transform_index_page_table_decode(metadata.page_table_1, topk_indices)",
        ),
    ),
    _mutant(
        "top-k other than v2",
        "topk_transform",
        Swap(
            "DSATopKBackend.topk_transform",
            "self.should_use_topk_v2() and topk_transform_method == "
            "TopkTransformMethod.PAGED and row_starts is None and batch_idx_list is None "
            "and 0 < topk <= 2048 and lengths.shape[0] == logits.shape[0] == "
            "attn_metadata.real_page_table.shape[0]",
            "False",
        ),
        file=f"{_DSA}/dsa_topk_backend.py",
    ),
    _mutant(
        "the indexer reads single tokens",
        "attention",
        Swap(
            "DSAIndexerMetadata.get_page_table_64",
            "self.attn_metadata.real_page_table",
            "self.attn_metadata.page_table_1",
        ),
        file=f"{_DSA}/dsa_indexer_metadata.py",
    ),
)
