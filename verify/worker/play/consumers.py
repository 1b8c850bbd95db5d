"""What the tree's own consumers hand their kernels in a draft step, from 0.5.17 on.

The release's code runs from the indexer's top-k to attention, `topk_transform` and
`forward_decode`; only the kernels are not there. A number stands for all that they are
handed, as far as they may read it. So a step which reads a table that one side has and the
other has not gives another number there, or raises.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from verify.worker.observe.live import readable
from verify.worker.tree import family, standins
from verify.worker.tree.stubs import Record

_OPS = "sglang.kernels.ops.attention"
TOPK = ("topk_transform_512_v2", "topk_transform_paged_v2")
TABLES = ("page_table_1", "real_page_table")
NOPE, ROPE = 512, 64


def can_attend(backend: Any) -> bool:
    """Whether this backend's draft steps go through top-k v2 to FlashMLA with a KV cache."""
    topk: Any = getattr(backend, "dsa_topk_backend", None)
    return (
        hasattr(topk, "should_use_topk_v2")
        and topk.should_use_topk_v2()
        and backend.use_fused_topk
        and backend.dsa_decode_impl == "flashmla_kv"
        and backend.forward_metadata.page_size > 1
    )


class Handed:
    """Mixes what kernels are handed in one step into one number."""

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata
        self.device = metadata.cache_seqlens_int32.device
        self.number = torch.zeros((), dtype=torch.int64, device=self.device)
        self.tables = {
            table.untyped_storage().data_ptr(): name
            for name in TABLES
            if (table := getattr(metadata, name)) is not None
        }

    def take(self, *args: Any, **kwargs: Any) -> None:
        """One kernel's arguments."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.numel():
                name = self.tables.get(value.untyped_storage().data_ptr(), "")
                number = standins._mix(readable(self.metadata, name, value))
                self.number = (number + 31 * self.number) % 1000000007

    def topk(self, logits: Any, lengths: Any, pages: Any, out: Any, *rest: Any) -> None:
        """Top-k v2. Its plan is a set, and not written for a few rows: compared apart."""
        self.take(lengths, pages)
        index = torch.arange(out.numel(), device=out.device).reshape(out.shape)
        out.copy_((index * 7919 + self.number) % 100003)

    def attention(self, q: Any, *args: Any, head_dim_v: int, **kwargs: Any) -> Any:
        """FlashMLA: [rows, 1, heads, head_dim_v]."""
        self.take(*args, **kwargs)
        return q[..., :head_dim_v], None

    def slots(self, page_table: Any, topk_indices: Any, **_: Any) -> Any:
        """What looks tokens up in the wide table, where top-k is not fused."""
        self.take(page_table, topk_indices)
        return topk_indices


def attend(backend: Any, batch: Any) -> torch.Tensor:
    """0-d int64: what the kernels of one draft step are handed."""
    metadata = backend.forward_metadata
    handed = Handed(metadata)
    rows, device = int(batch.batch_size), handed.device
    columns = metadata.real_page_table.shape[1] * metadata.page_size
    layer = Record(
        is_cross_attention=False,
        layer_id=0,
        tp_q_head_num=1,
        tp_k_head_num=1,
        v_head_dim=NOPE,
        head_dim=NOPE + ROPE,
        scaling=1.0,
    )
    with _kernels(backend, handed):
        indexer = backend.get_indexer_metadata(0, batch)
        handed.take(
            indexer.get_page_table_64(),
            indexer.get_seqlens_int32(),
            indexer.paged_mqa_schedule_metadata,
        )
        logits = torch.zeros(rows, columns, device=device)
        chosen = indexer.topk_transform(logits, backend.dsa_index_topk)
        handed.take(chosen)
        backend.forward_decode(
            torch.zeros(rows, 1, NOPE, device=device),
            None,
            None,
            layer,
            batch,
            q_rope=torch.zeros(rows, 1, ROPE, device=device),
            topk_indices=chosen,
        )
    return handed.number


@contextmanager
def _kernels(backend: Any, handed: Handed) -> Iterator[None]:
    """The kernels that this path calls, by where the tree finds them."""
    page, width = handed.metadata.page_size, backend.kv_cache_dim
    pool = Record(page_size=page, get_key_buffer=lambda layer: torch.zeros(page, width))
    flash: dict[str, Callable[..., Any]] = {"flash_mla_with_kvcache": handed.attention}
    topk: dict[str, Callable[..., Any]] = dict.fromkeys(TOPK, handed.topk)
    at: dict[str, dict[str, Any]] = {
        "sglang.jit_kernel.dsv4.topk": topk,
        f"{_OPS}.dsv4.topk": topk,
        "sgl_kernel.flash_mla": flash,
        f"{_OPS}.flash_mla_interface": flash,
        "sglang.srt.model_executor.forward_context": {
            "get_token_to_kv_pool": lambda: pool
        },
        family.BACKEND: {
            "concat_mla_absorb_q_general": lambda *parts: torch.cat(parts, -1),
            "quantize_k_cache": lambda cache: cache,
            "transform_index_page_table_decode": handed.slots,
        },
    }
    with ExitStack() as stack:
        for name, members in at.items():
            module = sys.modules.get(name) or importlib.import_module(name)
            for member, value in members.items():
                stack.enter_context(
                    mock.patch.object(module, member, value, create=True)
                )
        stack.enter_context(mock.patch.object(backend, "token_to_kv_pool", pool))
        yield
