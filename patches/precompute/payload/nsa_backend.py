from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.utils import compute_nsa_seqlens
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NativeSparseAttnMultiStepBackend,
    NSAFlashMLAMetadata,
    NSAMetadata,
    log_metadata_route,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch, ForwardMode

if TYPE_CHECKING:
    from sglang.srt.speculative.spec_info import SpecInput

# Read once, on import: replay by computing metadata once and copying it.
NSA_PRECOMPUTE_METADATA = envs.SGLANG_NSA_ENABLE_MTP_PRECOMPUTE_METADATA.get()


@dataclass(frozen=True)
class PrecomputedMetadata:
    """Replay metadata that is the same for every step of a multi-step draft.

    `expanded` counts query tokens: bs in decode, bs * draft tokens in target_verify,
    the sum of the accept lengths in draft_extend. Everything is int32.
    """

    # [bs]
    cache_seqlens: torch.Tensor
    # [bs], cumulative, without the leading zero: that one never changes
    cu_seqlens_k: torch.Tensor
    # [expanded, max_seqlen_k], page size 1
    page_indices: torch.Tensor
    # [expanded, ceil(max_seqlen_k / page_size)], None with page size 1
    real_page_table: Optional[torch.Tensor]
    # [expanded], unclipped
    seqlens_expanded: torch.Tensor
    # [expanded], clipped to the indexer's topk
    nsa_cache_seqlens: torch.Tensor
    # [expanded], cumulative, without the leading zero
    nsa_cu_seqlens_k: torch.Tensor
    # only with flashmla_kv
    flashmla_metadata: Optional[NSAFlashMLAMetadata]
    seqlens_expanded_size: int


class PrecomputedReplay(NativeSparseAttnBackend):
    def _precompute_replay_metadata(
        self,
        bs: int,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        seq_lens_cpu: torch.Tensor,
        forward_mode: ForwardMode,
        spec_info: Optional[SpecInput],
    ) -> PrecomputedMetadata:
        """Compute a replay's metadata without writing it into any backend."""
        log_metadata_route(f"precompute, {forward_mode.name}")
        seq_lens = seq_lens[:bs]
        req_pool_indices = req_pool_indices[:bs]
        max_seqlen_k = int(seq_lens_cpu[:bs].max().item())

        if forward_mode.is_decode_or_idle():
            cache_seqlens, seqlens_expanded, page_indices = (
                self._precompute_decode_mode(req_pool_indices, seq_lens, max_seqlen_k)
            )
        elif forward_mode.is_target_verify():
            max_seqlen_k += self.speculative_num_draft_tokens
            cache_seqlens, seqlens_expanded, page_indices = (
                self._precompute_target_verify_mode(
                    req_pool_indices, seq_lens, max_seqlen_k
                )
            )
        elif forward_mode.is_draft_extend():
            cache_seqlens, seqlens_expanded, page_indices = (
                self._precompute_draft_extend_mode(
                    req_pool_indices,
                    seq_lens,
                    max_seqlen_k,
                    extend_seq_lens=spec_info.accept_length[:bs],
                )
            )
        else:
            raise ValueError(f"Unsupported {forward_mode = }")

        nsa_cache_seqlens = compute_nsa_seqlens(seqlens_expanded, self.nsa_index_topk)
        return PrecomputedMetadata(
            cache_seqlens=cache_seqlens,
            cu_seqlens_k=torch.cumsum(cache_seqlens, dim=0, dtype=torch.int32),
            page_indices=page_indices,
            real_page_table=(
                page_indices[:, :: self.real_page_size] // self.real_page_size
                if self.real_page_size > 1
                else None
            ),
            seqlens_expanded=seqlens_expanded,
            nsa_cache_seqlens=nsa_cache_seqlens,
            nsa_cu_seqlens_k=torch.cumsum(nsa_cache_seqlens, dim=0, dtype=torch.int32),
            flashmla_metadata=(
                self._compute_flashmla_metadata(
                    cache_seqlens=nsa_cache_seqlens, seq_len_q=1
                )
                if self.nsa_decode_impl == "flashmla_kv"
                else None
            ),
            seqlens_expanded_size=seqlens_expanded.shape[0],
        )

    def _precompute_decode_mode(
        self, req_pool_indices: torch.Tensor, seq_lens: torch.Tensor, max_seqlen_k: int
    ):
        """One query token a request: (cache_seqlens, seqlens_expanded, page_indices)."""
        cache_seqlens = seq_lens.to(torch.int32)
        page_indices = self.req_to_token[req_pool_indices, :max_seqlen_k]
        return cache_seqlens, cache_seqlens, page_indices

    def _precompute_target_verify_mode(
        self, req_pool_indices: torch.Tensor, seq_lens: torch.Tensor, max_seqlen_k: int
    ):
        """All draft tokens of a request, each seeing one token more than the last."""
        draft_tokens = self.speculative_num_draft_tokens
        cache_seqlens = (seq_lens + draft_tokens).to(torch.int32)
        first_seqlens = cache_seqlens - (draft_tokens - 1)
        seqlens_expanded = (
            first_seqlens.unsqueeze(1) + self.get_device_int32_arange(draft_tokens)
        ).flatten()
        page_indices = torch.repeat_interleave(
            self.req_to_token[req_pool_indices, :max_seqlen_k], draft_tokens, dim=0
        )
        return cache_seqlens, seqlens_expanded, page_indices

    def init_forward_metadata_replay_cuda_graph_from_precomputed(
        self,
        bs: int,
        precomputed: PrecomputedMetadata,
        forward_mode: ForwardMode,
    ):
        """Copy precomputed metadata into this backend's CUDA graph buffers.

        Writes what `init_forward_metadata_replay_cuda_graph` writes, and no more.
        """
        self.set_nsa_prefill_impl(forward_batch=None)

        metadata: NSAMetadata = self.decode_cuda_graph_metadata[bs]
        expanded = precomputed.seqlens_expanded_size

        outputs = [
            metadata.cache_seqlens_int32,
            metadata.cu_seqlens_k[1:],
            metadata.nsa_cache_seqlens_int32[:expanded],
            metadata.nsa_cu_seqlens_k[1 : 1 + expanded],
        ]
        inputs = [
            precomputed.cache_seqlens,
            precomputed.cu_seqlens_k,
            precomputed.nsa_cache_seqlens,
            precomputed.nsa_cu_seqlens_k,
        ]
        if not forward_mode.is_decode_or_idle():
            # In decode this is `cache_seqlens_int32` itself.
            outputs.append(metadata.nsa_seqlens_expanded[:expanded])
            inputs.append(precomputed.seqlens_expanded)
        if precomputed.flashmla_metadata is not None:
            flashmla_metadata = metadata.flashmla_metadata.slice(slice(0, expanded + 1))
            outputs += [
                flashmla_metadata.flashmla_metadata,
                flashmla_metadata.num_splits,
            ]
            inputs += [
                precomputed.flashmla_metadata.flashmla_metadata,
                precomputed.flashmla_metadata.num_splits,
            ]
        # One launch for everything that is contiguous.
        torch._foreach_copy_(outputs, inputs)

        rows, cols = precomputed.page_indices.shape
        metadata.page_table_1[:rows, :cols].copy_(precomputed.page_indices)
        assert self.real_page_size == metadata.page_size
        if precomputed.real_page_table is None:
            assert metadata.real_page_table is metadata.page_table_1
        else:
            rows, cols = precomputed.real_page_table.shape
            metadata.real_page_table[:rows, :cols].copy_(precomputed.real_page_table)

        self.forward_metadata = metadata


class DraftExtendByToken(NativeSparseAttnBackend):
    def _precompute_draft_extend_mode(
        self,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        max_seqlen_k: int,
        extend_seq_lens: torch.Tensor,
    ):
        """The accepted tokens of a request, which end at its sequence length."""
        cache_seqlens = seq_lens.to(torch.int32)
        seqlens_expanded = self._expand_draft_extend_seqlens(
            cache_seqlens, extend_seq_lens
        )
        page_indices = torch.repeat_interleave(
            self.req_to_token[req_pool_indices, :max_seqlen_k],
            extend_seq_lens,
            dim=0,
            output_size=seqlens_expanded.shape[0],
        )
        return cache_seqlens, seqlens_expanded, page_indices

    def _expand_draft_extend_seqlens(
        self, seq_lens: torch.Tensor, extend_seq_lens: torch.Tensor
    ) -> torch.Tensor:
        ends = torch.cumsum(extend_seq_lens, dim=0, dtype=torch.int32)
        # The expanded size is needed on the host, for shapes: the one sync here.
        expanded = int(extend_seq_lens.sum().item())
        return torch.repeat_interleave(
            seq_lens - ends + 1, extend_seq_lens, output_size=expanded
        ) + self.get_device_int32_arange(expanded)


class DraftExtendByRequest(NativeSparseAttnBackend):
    def _precompute_draft_extend_mode(
        self,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        max_seqlen_k: int,
        extend_seq_lens: torch.Tensor,
    ):
        """The accepted tokens of a request, counted behind all its draft tokens."""
        cache_seqlens = seq_lens.to(torch.int32)
        kv_lens = cache_seqlens + self.speculative_num_draft_tokens
        ends = torch.cumsum(extend_seq_lens, dim=0, dtype=torch.int32)
        # The expanded size is needed on the host, for shapes: the one sync here.
        expanded = int(extend_seq_lens.sum().item())
        seqlens_expanded = torch.repeat_interleave(
            kv_lens - ends + 1, extend_seq_lens, output_size=expanded
        ) + self.get_device_int32_arange(expanded)
        page_indices = self.req_to_token[req_pool_indices, :max_seqlen_k]
        return cache_seqlens, seqlens_expanded, page_indices


class MultiStepReplay(NativeSparseAttnMultiStepBackend):
    def init_forward_metadata_replay_cuda_graph(
        self, forward_batch: ForwardBatch, bs: int
    ):
        if NSA_PRECOMPUTE_METADATA:
            # No step's metadata depends on the step: compute it once, copy it N times.
            precomputed = self.attn_backends[0]._precompute_replay_metadata(
                bs=bs,
                req_pool_indices=forward_batch.req_pool_indices,
                seq_lens=forward_batch.seq_lens,
                seq_lens_cpu=forward_batch.seq_lens_cpu,
                forward_mode=ForwardMode.DECODE,
                spec_info=forward_batch.spec_info,
            )
            for attn_backend in self.attn_backends:
                attn_backend.init_forward_metadata_replay_cuda_graph_from_precomputed(
                    bs=bs,
                    precomputed=precomputed,
                    forward_mode=ForwardMode.DECODE,
                )
            return


class ExpandedReplay(NativeSparseAttnBackend):
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
        if NSA_PRECOMPUTE_METADATA and not forward_mode.is_decode_or_idle():
            # One backend, but no Python list and no launch for each request.
            self.init_forward_metadata_replay_cuda_graph_from_precomputed(
                bs,
                self._precompute_replay_metadata(
                    bs,
                    req_pool_indices,
                    seq_lens,
                    seq_lens_cpu,
                    forward_mode,
                    spec_info,
                ),
                forward_mode,
            )
            return
