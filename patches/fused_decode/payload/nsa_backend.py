from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import (
    precompute_decode_metadata,
)
from sglang.srt.layers.attention.nsa_backend import (
    NSA_USE_TRITON_METADATA,
    NativeSparseAttnBackend,
    PrecomputedMetadata,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput


class FusedDecodeDispatch(NativeSparseAttnBackend):
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
        if NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle():
            if self._fill_metadata(bs, req_pool_indices, seq_lens):
                log_metadata_route("fused-decode")
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
        if NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle():
            precomputed = self._precompute_decode_mode_fused(
                req_pool_indices[:bs], seq_lens[:bs], max(seq_lens_cpu.tolist()[:bs])
            )
            if precomputed is not None:
                log_metadata_route("fused-decode")
                return precomputed

    def init_forward_metadata_replay_cuda_graph_from_precomputed(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        forward_mode: ForwardMode,
    ):
        if NSA_USE_TRITON_METADATA and forward_mode.is_decode_or_idle():
            # To the kernel, the precomputed page table is a pool of as many requests.
            pages = precomputed.page_indices
            if self._fill_metadata(
                bs, self._arange_buf, precomputed.cache_seqlens, req_to_token=pages
            ):
                return


class FusedDecode(NativeSparseAttnBackend):
    def _precompute_decode_mode_fused(
        self, req_pool_indices: torch.Tensor, seq_lens: torch.Tensor, max_seqlen_k: int
    ) -> Optional[PrecomputedMetadata]:
        """`_precompute_decode_mode` and all that follows it in one launch, or None."""
        bs = seq_lens.shape[0]
        # One allocation for all of them, rows of the page table on 16 bytes.
        row_len = -(-max_seqlen_k // 4) * 4
        real_len = -(-max_seqlen_k // self.real_page_size)
        sizes = (bs * row_len, bs * real_len, bs, bs, bs + 1, bs + 1)
        buffer = torch.empty(sum(sizes), dtype=torch.int32, device=self.device)
        pages, real_pages, cache_seqlens, nsa_cache_seqlens, cu_seqlens_k, nsa_cu = (
            buffer.split(sizes)
        )
        page_indices = pages.view(bs, row_len)[:, :max_seqlen_k]
        if row_len > max_seqlen_k:
            # Read with its row, though never stored.
            pages.view(bs, row_len)[:, max_seqlen_k:].zero_()
        real_page_table = (
            real_pages.view(bs, real_len) if self.real_page_size > 1 else None
        )
        if not precompute_decode_metadata(
            seq_lens,
            req_pool_indices,
            self.req_to_token,
            cache_seqlens,
            cu_seqlens_k,
            page_indices,
            nsa_cache_seqlens,
            nsa_cu,
            real_page_table,
            max_seqlen_k,
            self.nsa_index_topk,
            self.real_page_size,
        ):
            return None

        return PrecomputedMetadata(
            cache_seqlens=cache_seqlens,
            cu_seqlens_k=cu_seqlens_k[1:],
            page_indices=page_indices,
            real_page_table=real_page_table,
            seqlens_expanded=cache_seqlens,
            nsa_cache_seqlens=nsa_cache_seqlens,
            nsa_cu_seqlens_k=nsa_cu[1:],
            flashmla_metadata=(
                self._compute_flashmla_metadata(
                    cache_seqlens=nsa_cache_seqlens, seq_len_q=1
                )
                if self.nsa_decode_impl == "flashmla_kv"
                else None
            ),
            seqlens_expanded_size=bs,
        )
