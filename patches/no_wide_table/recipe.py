"""Leave out the draft steps' table of single tokens, which top-k v2 does not read.

Source: upstream does so for decode without speculation (`dsa_drop_wide_page_table`).
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import InsertBefore, RequireKnown, RequireReaders
from patches import HERE
from patches.no_wide_table.about import ABOUT
from patches.shared.anchors import DSA_BACKEND, INIT_STATE, gate

PAYLOAD = HERE / "no_wide_table" / "payload"
DSA = "sglang/srt/layers/attention/dsa"
TOPK = f"{DSA}/dsa_topk_backend.py"
INDEXER = f"{DSA}/dsa_indexer.py"
METADATA = f"{DSA}/dsa_indexer_metadata.py"
MANAGER = f"{DSA}/dsa_metadata_manager.py"
KPOOL = f"{DSA}/dsa_indexer_kpool.py"
PRECOMPUTE = f"{DSA}/dsa_backend_mtp_precompute.py"
BACKEND = "DeepseekSparseAttnBackend"
FROM_PRECOMPUTED = "init_forward_metadata_replay_cuda_graph_from_precomputed"
MIXIN = f"{BACKEND}MTPPrecomputeMixin"
MULTI_STEP = "DeepseekSparseAttnMultiStepBackend"

# Who reads the table in some release, how often, and why that is no draft step of ours.
READERS = {
    # Makes it, and measures by it; what it does without one is upstream's own.
    (DSA_BACKEND, f"{BACKEND}._apply_cuda_graph_metadata"): 7,
    (DSA_BACKEND, f"{BACKEND}._graph_page_table_width"): 2,
    # The replay of others' tables: in-graph returns before it.
    (DSA_BACKEND, f"{MULTI_STEP}.init_forward_metadata_out_graph"): 3,
    (DSA_BACKEND, f"{BACKEND}.{FROM_PRECOMPUTED}"): 3,
    (MANAGER, "DSAMetadataManagementMixin._copy_base_replay_buffers"): 3,
    (PRECOMPUTE, f"{MIXIN}._precompute_decode_mode"): 1,
    (PRECOMPUTE, f"{MIXIN}._precompute_target_verify_mode"): 1,
    # Attention, where top-k is not fused; the condition asks for fused.
    (DSA_BACKEND, f"{BACKEND}.forward_decode"): 1,
    (DSA_BACKEND, f"{BACKEND}._forward_trtllm"): 2,
    # Top-k other than v2; the condition asks for v2.
    (TOPK, "DSATopKBackend.topk_transform"): 6,
    # Prefill, HIP, k-pool.
    (DSA_BACKEND, f"{BACKEND}.forward_extend"): 1,
    (DSA_BACKEND, f"{BACKEND}.prepare_mtp_seed_indices"): 1,
    (METADATA, "DSAIndexerMetadata.get_page_table_1"): 1,
    (KPOOL, "IndexerKPool._kpool_fused_topk_mapping"): 1,
}
# Who asks for it by the indexer's method: prefill, and decode on HIP.
ASKERS = {
    (INDEXER, "Indexer._get_topk_paged"): 1,
    (INDEXER, "Indexer._get_topk_ragged"): 1,
}
# Who must be as in some release: who reads it where nothing is fused, and who decides that
# nobody does. What prefill and the replay of others' tables do is nothing to a draft step.
KNOWN = (
    (DSA_BACKEND, f"{BACKEND}.{INIT_STATE}"),
    (DSA_BACKEND, f"{BACKEND}._graph_page_table_width"),
    (DSA_BACKEND, f"{BACKEND}._build_forward_metadata_cuda_graph"),
    (DSA_BACKEND, f"{BACKEND}._apply_cuda_graph_metadata"),
    (DSA_BACKEND, f"{BACKEND}.forward_decode"),
    (DSA_BACKEND, f"{BACKEND}._forward_trtllm"),
    (DSA_BACKEND, f"{BACKEND}._get_fused_topk_page_table"),
    (DSA_BACKEND, f"{BACKEND}.get_indexer_metadata"),
    (METADATA, "DSAIndexerMetadata.get_page_table_1"),
    (METADATA, "DSAIndexerMetadata.topk_transform"),
    (TOPK, "DSATopKBackend.should_use_topk_v2"),
    (TOPK, "DSATopKBackend.topk_transform"),
)

PATCH = Patch(
    ABOUT,
    steps=(
        gate(ABOUT.gate, section="DSA Backend"),
        RequireReaders(DSA_BACKEND, "page_table_1", READERS),
        RequireReaders(DSA_BACKEND, "get_page_table_1", ASKERS),
        *(RequireKnown(file=file, symbol=symbol) for file, symbol in KNOWN),
        InsertBefore(
            file=DSA_BACKEND,
            function=f"{MULTI_STEP}.{INIT_STATE}",
            anchor="first.init_cuda_graph_state(max_bs, max_num_tokens)",
            payload=PAYLOAD / "dsa_backend.py",
            source=f"NoWideTable.{INIT_STATE}",
        ),
    ),
)
