from __future__ import annotations

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa_backend import DeepseekSparseAttnMultiStepBackend

# Read once, on import: one fill a replay for all draft steps.
DSA_METADATA_FAN_OUT = envs.SGLANG_NSA_METADATA_FAN_OUT.get()


class FanOutDispatch(DeepseekSparseAttnMultiStepBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if DSA_METADATA_FAN_OUT:
            self.shares_metadata = self._can_share_metadata()
