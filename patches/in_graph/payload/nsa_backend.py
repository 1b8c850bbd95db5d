from __future__ import annotations

from typing import TYPE_CHECKING, Set

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnBackend,
    NativeSparseAttnMultiStepBackend,
    NSAMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch, ForwardMode

if TYPE_CHECKING:
    from sglang.srt.model_executor.model_runner import ModelRunner


class InGraphDispatch(NativeSparseAttnMultiStepBackend):
    def __init__(
        self, model_runner: ModelRunner, topk: int, speculative_num_steps: int
    ):
        # Whether one set of CUDA graph buffers serves every step.
        self.shares_metadata = False
        # Batch sizes whose graph fills the metadata itself.
        self.in_graph_bs: Set[int] = set()

    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int):
        self.in_graph_bs.clear()
        self.shares_metadata = self._can_share_metadata()
        if self.shares_metadata:
            first, *others = self.attn_backends
            first.init_cuda_graph_state(max_bs, max_num_tokens)
            for attn_backend in others:
                attn_backend.decode_cuda_graph_metadata = (
                    first.decode_cuda_graph_metadata
                )
            return

    def init_forward_metadata_capture_cuda_graph(self, forward_batch: ForwardBatch):
        if self.shares_metadata:
            first = self.attn_backends[0]
            first.init_forward_metadata_capture_cuda_graph(
                forward_batch.batch_size,
                forward_batch.batch_size * self.topk,
                forward_batch.req_pool_indices,
                forward_batch.seq_lens,
                encoder_lens=None,
                forward_mode=ForwardMode.DECODE,
                spec_info=forward_batch.spec_info,
            )
            self._set_forward_metadata(
                [first.forward_metadata] * len(self.attn_backends)
            )
            return

    def init_forward_metadata_replay_cuda_graph(
        self, forward_batch: ForwardBatch, bs: int
    ):
        if bs in self.in_graph_bs:
            self._set_forward_metadata(
                [b.decode_cuda_graph_metadata[bs] for b in self.attn_backends]
            )
            return


class InGraph(NativeSparseAttnMultiStepBackend):
    def _can_share_metadata(self) -> bool:
        """Whether every step's metadata is the same by construction.

        It is as long as no method reads the step id and the backends agree on what
        metadata is computed from. Attention only reads metadata, so nobody notices.
        """
        if not (
            self.attn_backends
            and envs.SGLANG_NSA_METADATA_IN_GRAPH.get()
            and envs.SGLANG_NSA_USE_TRITON_METADATA.get()
        ):
            return False

        first = self.attn_backends[0]
        reads_step_id = any(
            "speculative_step_id" in method.__code__.co_names
            for name, method in vars(NativeSparseAttnBackend).items()
            if name != "__init__" and hasattr(method, "__code__")
        )
        return not reads_step_id and all(
            type(b) is NativeSparseAttnBackend
            and b.req_to_token is first.req_to_token
            and b.real_page_size == first.real_page_size
            and b.nsa_index_topk == first.nsa_index_topk
            and b.max_context_len == first.max_context_len
            and b.num_q_heads == first.num_q_heads
            # A global, the same for all, up to 0.5.5.post3.
            and getattr(b, "nsa_decode_impl", None)
            == getattr(first, "nsa_decode_impl", None)
            for b in self.attn_backends
        )

    def fill_metadata_in_graph(self, forward_batch: ForwardBatch):
        """Fill the shared metadata as the first work of a draft graph.

        `forward_batch` must hold the graph's static inputs. Once a graph does this, a
        replay has nothing to prepare.
        """
        if not self.shares_metadata:
            return

        bs = forward_batch.batch_size
        first = self.attn_backends[0]
        metadata: NSAMetadata = first.decode_cuda_graph_metadata[bs]
        if not run_fused_metadata(
            "fill_decode_metadata_in_graph",
            seq_lens=forward_batch.seq_lens,
            req_pool_indices=forward_batch.req_pool_indices,
            req_to_token=first.req_to_token,
            cache_seqlens=metadata.cache_seqlens_int32,
            cu_seqlens_k=metadata.cu_seqlens_k,
            nsa_cache_seqlens=metadata.nsa_cache_seqlens_int32,
            nsa_cu_seqlens_k=metadata.nsa_cu_seqlens_k,
            page_table=metadata.page_table_1,
            real_page_table=(
                metadata.real_page_table if first.real_page_size > 1 else None
            ),
            nsa_index_topk=first.nsa_index_topk,
            real_page_size=first.real_page_size,
        ):
            self.in_graph_bs.discard(bs)
            return

        if metadata.flashmla_metadata is not None:
            metadata.flashmla_metadata.slice(slice(0, bs + 1)).copy_(
                first._compute_flashmla_metadata(
                    cache_seqlens=metadata.nsa_cache_seqlens_int32, seq_len_q=1
                )
            )
        self.in_graph_bs.add(bs)
