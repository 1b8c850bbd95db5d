"""Leave out the draft steps' table of single tokens, which top-k v2 does not read.

Source: upstream does so for decode without speculation (`dsa_drop_wide_page_table`).
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import InsertBefore, RequireKnown
from patches import HERE
from patches.no_wide_table.about import ABOUT
from patches.shared.anchors import DSA_BACKEND, INIT_STATE, gate

PAYLOAD = HERE / "no_wide_table" / "payload"
TOPK = "sglang/srt/layers/attention/dsa/dsa_topk_backend.py"
BACKEND = "DeepseekSparseAttnBackend"

# Who reads the table, or decides that nobody does.
READERS = (
    (DSA_BACKEND, f"{BACKEND}.{INIT_STATE}"),
    (DSA_BACKEND, f"{BACKEND}._graph_page_table_width"),
    (DSA_BACKEND, f"{BACKEND}._build_forward_metadata_cuda_graph"),
    (DSA_BACKEND, f"{BACKEND}._apply_cuda_graph_metadata"),
    (DSA_BACKEND, f"{BACKEND}.forward_decode"),
    (DSA_BACKEND, f"{BACKEND}.get_indexer_metadata"),
    (TOPK, "DSATopKBackend.should_use_topk_v2"),
    (TOPK, "DSATopKBackend.topk_transform"),
)

PATCH = Patch(
    ABOUT,
    steps=(
        gate(ABOUT.gate, section="DSA Backend"),
        *(RequireKnown(file=file, symbol=symbol) for file, symbol in READERS),
        InsertBefore(
            file=DSA_BACKEND,
            function=f"DeepseekSparseAttnMultiStepBackend.{INIT_STATE}",
            anchor="first.init_cuda_graph_state(max_bs, max_num_tokens)",
            payload=PAYLOAD / "dsa_backend.py",
            source=f"NoWideTable.{INIT_STATE}",
        ),
    ),
)
