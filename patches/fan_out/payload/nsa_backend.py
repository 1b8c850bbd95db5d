from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List

import torch

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.fused_metadata import run_fused_metadata
from sglang.srt.layers.attention.nsa_backend import (
    NativeSparseAttnMultiStepBackend,
    NSAMetadata,
)
from sglang.srt.model_executor.forward_batch_info import ForwardBatch

if TYPE_CHECKING:
    from sglang.srt.model_executor.model_runner import ModelRunner


@dataclass(frozen=True)
class FanOutTable:
    """Where the decode buffers of several backends are, for one batch size.

    Keeps the metadata it was built from: its addresses stay valid as long as it lives,
    and a backend that has captured anew can be told by its other metadata.
    """

    metadata: List[NSAMetadata]
    # [backends, 6] int64: as `fan_out_decode_metadata` wants them
    addresses: torch.Tensor
    page_table_stride: int
    real_page_table_stride: int
    # every row of the page tables starts on 16 bytes
    aligned: bool
    # every backend's FlashMLA plan for this batch size, then every num_splits
    flashmla_outputs: List[torch.Tensor]

    @classmethod
    def build(cls, metadata: List[NSAMetadata], bs: int) -> FanOutTable:
        buffers = [
            (
                m.cache_seqlens_int32,
                m.cu_seqlens_k,
                m.nsa_cache_seqlens_int32,
                m.nsa_cu_seqlens_k,
                m.page_table_1,
                m.real_page_table,
            )
            for m in metadata
        ]
        layouts = [[(t.dtype, t.shape, t.stride()) for t in ts] for ts in buffers]
        assert all(layout == layouts[0] for layout in layouts)

        *_, page_table, real_page_table = buffers[0]
        plans = [
            m.flashmla_metadata.slice(slice(0, bs + 1))
            for m in metadata
            if m.flashmla_metadata is not None
        ]
        return cls(
            metadata=metadata,
            addresses=torch.tensor(
                [[t.data_ptr() for t in ts] for ts in buffers],
                dtype=torch.int64,
                device=page_table.device,
            ),
            page_table_stride=page_table.stride(0),
            real_page_table_stride=real_page_table.stride(0),
            aligned=page_table.stride(0) % 4 == 0
            and all(m.page_table_1.data_ptr() % 16 == 0 for m in metadata),
            flashmla_outputs=[
                *(plan.flashmla_metadata for plan in plans),
                *(plan.num_splits for plan in plans),
            ],
        )


class FanOutDispatch(NativeSparseAttnMultiStepBackend):
    def __init__(
        self, model_runner: ModelRunner, topk: int, speculative_num_steps: int
    ):
        self.fans_out = envs.SGLANG_NSA_METADATA_FAN_OUT.get()
        # Batch size to the addresses of every step's buffers.
        self.fan_out_tables: Dict[int, FanOutTable] = {}

    def init_forward_metadata_capture_cuda_graph(self, forward_batch: ForwardBatch):
        if self.fans_out:
            self._get_fan_out_table(forward_batch.batch_size)

    def init_forward_metadata_replay_cuda_graph(
        self, forward_batch: ForwardBatch, bs: int
    ):
        if self.fans_out and self._fan_out_metadata(forward_batch, bs):
            return


class FanOut(NativeSparseAttnMultiStepBackend):
    def _get_fan_out_table(self, bs: int) -> FanOutTable:
        metadata = [b.decode_cuda_graph_metadata[bs] for b in self.attn_backends]
        table = self.fan_out_tables.get(bs)
        if table is None or any(a is not b for a, b in zip(table.metadata, metadata)):
            table = self.fan_out_tables[bs] = FanOutTable.build(metadata, bs)
        return table

    def _fan_out_metadata(self, forward_batch: ForwardBatch, bs: int) -> bool:
        """Rewrite the metadata of every step in one launch, if that is possible."""
        first = self.attn_backends[0]
        table = self._get_fan_out_table(bs)
        if not run_fused_metadata(
            "fan_out_decode_metadata",
            bs=bs,
            seq_lens=forward_batch.seq_lens,
            req_pool_indices=forward_batch.req_pool_indices,
            req_to_token=first.req_to_token,
            fan_out_table=table.addresses,
            page_table_stride=table.page_table_stride,
            real_page_table_stride=table.real_page_table_stride,
            aligned=table.aligned,
            max_seqlen_k=max(forward_batch.seq_lens_cpu.tolist()[:bs]),
            nsa_index_topk=first.nsa_index_topk,
            real_page_size=first.real_page_size,
        ):
            return False

        if table.flashmla_outputs:
            computed = first._compute_flashmla_metadata(
                cache_seqlens=table.metadata[0].nsa_cache_seqlens_int32, seq_len_q=1
            )
            steps = len(table.metadata)
            # One launch for all of them.
            torch._foreach_copy_(
                table.flashmla_outputs,
                [computed.flashmla_metadata] * steps + [computed.num_splits] * steps,
            )

        self._set_forward_metadata(table.metadata)
        return True

    def _set_forward_metadata(self, metadata: List[NSAMetadata]):
        """Let every step run with its metadata, now that the buffers hold a batch."""
        first = self.attn_backends[0]
        first.set_nsa_prefill_impl(forward_batch=None)
        for attn_backend, step_metadata in zip(self.attn_backends, metadata):
            # Decided without a batch, the same for all.
            attn_backend.use_mha = first.use_mha
            attn_backend.nsa_prefill_impl = first.nsa_prefill_impl
            attn_backend.forward_metadata = step_metadata
