from __future__ import annotations

from typing import Optional

import torch

from sglang.srt.layers.attention.dsa.cuda_metadata_kernel import (
    has_decode_metadata_kernel,
    precompute_decode_metadata_cuda,
)
from sglang.srt.layers.attention.dsa.dsa_backend_mtp_precompute import (
    DeepseekSparseAttnBackendMTPPrecomputeMixin,
    PrecomputedMetadata,
)


class CudaDecodeDispatch(DeepseekSparseAttnBackendMTPPrecomputeMixin):
    def _precompute_decode_mode(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
    ) -> PrecomputedMetadata:
        precomputed = self._precompute_decode_mode_cuda(
            bs, req_pool_indices, seq_lens, seq_lens_cpu
        )
        if precomputed is not None:
            return precomputed


class CudaDecode(DeepseekSparseAttnBackendMTPPrecomputeMixin):
    def _precompute_decode_mode_cuda(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
    ) -> Optional[PrecomputedMetadata]:
        """`_precompute_decode_mode` in one launch; None where there is no kernel."""
        if not has_decode_metadata_kernel():
            return None
        max_len = max(seq_lens_cpu.tolist())
        real_len = -(-max_len // self.real_page_size)
        # One allocation for all of them, the page table at its head.
        sizes = (bs * max_len, bs * real_len, bs, bs, bs + 1, bs + 1)
        buffer = torch.empty(sum(sizes), dtype=torch.int32, device=self.device)
        pages, real_pages, cache_seqlens, dsa_cache_seqlens, cu_seqlens_k, dsa_cu = (
            buffer.split(sizes)
        )
        page_indices = pages.view(bs, max_len)
        real_page_table = (
            real_pages.view(bs, real_len) if self.real_page_size > 1 else None
        )
        if not precompute_decode_metadata_cuda(
            seq_lens,
            req_pool_indices,
            self.req_to_token,
            cache_seqlens,
            cu_seqlens_k,
            page_indices,
            dsa_cache_seqlens,
            dsa_cu,
            real_page_table,
            max_len,
            self.dsa_index_topk,
            self.real_page_size,
        ):
            return None

        return PrecomputedMetadata(
            cache_seqlens=cache_seqlens,
            cu_seqlens_k=cu_seqlens_k,
            page_indices=page_indices,
            real_page_table=real_page_table,
            seqlens_expanded=cache_seqlens,
            dsa_cache_seqlens=dsa_cache_seqlens,
            dsa_cu_seqlens_k=dsa_cu,
            seqlens_expanded_size=bs,
            max_len=max_len,
            max_seqlen_k=max_len,
            flashmla_metadata=(
                self._compute_flashmla_metadata(
                    cache_seqlens=dsa_cache_seqlens, seq_len_q=1
                )
                if self.dsa_decode_impl == "flashmla_kv"
                else None
            ),
        )
