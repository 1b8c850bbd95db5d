from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.cuda_metadata_kernel import (
    load_decode_metadata_kernel,
)
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    PrecomputedMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput

# Read once, on import: a CUDA kernel writes decode metadata, Triton's where it cannot.
NSA_USE_CUDA_METADATA = envs.SGLANG_NSA_USE_CUDA_METADATA.get()


class CudaKernel(NativeSparseAttnBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if NSA_USE_CUDA_METADATA:
            # Before any capture: a replay never compiles.
            load_decode_metadata_kernel()


class CudaKernelByEnvironment(NativeSparseAttnBackend):
    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        if envs.SGLANG_NSA_USE_CUDA_METADATA.get():
            # Before any capture: a replay never compiles.
            load_decode_metadata_kernel()


class CudaDecodeDispatch(NativeSparseAttnBackend):
    def init_forward_metadata_replay_cuda_graph(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_sum: int,
        encoder_lens: Optional[torch.Tensor],
        forward_mode: ForwardMode,
        spec_info: Optional[SpecInput],
        seq_lens_cpu: Optional[torch.Tensor],
        out_cache_loc: Optional[torch.Tensor] = None,
    ):
        if NSA_USE_CUDA_METADATA and forward_mode.is_decode_or_idle():
            if self._fill_metadata(bs, req_pool_indices, seq_lens):
                return

    def _precompute_replay_metadata(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
        forward_mode: ForwardMode,
        spec_info: Optional[SpecInput],
    ) -> PrecomputedMetadata:
        if NSA_USE_CUDA_METADATA and forward_mode.is_decode_or_idle():
            precomputed = self._precompute_decode_mode_fused(
                req_pool_indices[:bs], seq_lens[:bs], max(seq_lens_cpu.tolist()[:bs])
            )
            if precomputed is not None:
                return precomputed

    def init_forward_metadata_replay_cuda_graph_from_precomputed(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        forward_mode: ForwardMode,
    ):
        if NSA_USE_CUDA_METADATA and forward_mode.is_decode_or_idle():
            # To the kernel, the precomputed page table is a pool of as many requests.
            pages = precomputed.page_indices
            if self._fill_metadata(
                bs, self._arange_buf, precomputed.cache_seqlens, req_to_token=pages
            ):
                return
