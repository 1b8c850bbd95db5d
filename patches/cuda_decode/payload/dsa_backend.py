from __future__ import annotations

from sglang.srt.environ import envs
from sglang.srt.layers.attention.dsa.cuda_metadata_kernel import (
    load_decode_metadata_kernel,
)
from sglang.srt.layers.attention.dsa_backend import DeepseekSparseAttnBackend


class CudaKernelByEnvironment(DeepseekSparseAttnBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if envs.SGLANG_NSA_USE_CUDA_METADATA.get():
            # Before any capture: a replay never compiles.
            load_decode_metadata_kernel()
