from __future__ import annotations

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import DeepseekSparseAttnMultiStepBackend


class NoWideTable(DeepseekSparseAttnMultiStepBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if envs.SGLANG_NSA_DROP_WIDE_PAGE_TABLE.get():
            # A draft step does not verify, so dsa_drop_wide_page_table need not be
            # off for it: top-k v2 and the indexer read real_page_table.
            for attn_backend in self.attn_backends:
                attn_backend.speculative_num_draft_tokens = None
