from __future__ import annotations

from typing import TYPE_CHECKING

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa_backend import NativeSparseAttnMultiStepBackend

if TYPE_CHECKING:
    from sglang.srt.model_executor.model_runner import ModelRunner

# Read once, on import: one launch a replay for all draft steps.
NSA_METADATA_FAN_OUT = envs.SGLANG_NSA_METADATA_FAN_OUT.get()


class FanOutDispatch(NativeSparseAttnMultiStepBackend):
    def __init__(
        self, model_runner: ModelRunner, topk: int, speculative_num_steps: int
    ):
        if NSA_METADATA_FAN_OUT:
            self.shares_metadata = True
