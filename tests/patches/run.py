"""Run one kernel of a case into fresh buffers, and check every byte of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from tests.patches.kernels import kernels
from tests.patches.reference import Buffers, Case, expect_metadata, outputs


def inputs(case: Case) -> dict[str, torch.Tensor]:
    """What every launch reads."""
    req_to_token, req_pool_indices = case.pool()
    return {
        "seq_lens": case.lens,
        "req_pool_indices": req_pool_indices,
        "req_to_token": req_to_token,
    }


def metadata(case: Case, out: dict[str, torch.Tensor]) -> Any:
    """The buffers as an `NSAMetadata` names them."""
    return SimpleNamespace(
        cache_seqlens_int32=out["cache_seqlens"],
        cu_seqlens_k=out["cu_seqlens_k"],
        nsa_seqlens_expanded=out.get("seqlens_expanded", out["cache_seqlens"]),
        nsa_cache_seqlens_int32=out["nsa_cache_seqlens"],
        nsa_cu_seqlens_k=out["nsa_cu_seqlens_k"],
        page_table_1=out["page_table"],
        real_page_table=out.get("real_page_table", out["page_table"]),
        page_size=case.page_size,
    )


def fill(case: Case, out: dict[str, torch.Tensor], **options: Any) -> None:
    """One launch of the kernel."""
    assert kernels().fill_metadata_inplace(
        metadata(case, out),
        case.bs,
        **inputs(case),
        nsa_index_topk=case.topk,
        **options,
    )


def decode_buffers(case: Case) -> tuple[Buffers, dict[str, torch.Tensor]]:
    """A decode batch's buffers, and what they should hold."""
    buffers = Buffers()
    out = outputs(case, buffers, case.bs, expanded=False)
    expect_metadata(case, buffers, out, list(case.seq_lens), [1] * case.bs)
    return buffers, out


def decode(case: Case) -> None:
    """Before or inside a graph: the same launch."""
    buffers, out = decode_buffers(case)
    fill(case, out)
    buffers.check()


def precompute_decode(case: Case) -> None:
    """Document 001's function, into tensors that are no metadata."""
    buffers, out = decode_buffers(case)
    out["page_indices"] = out.pop("page_table")
    out.setdefault("real_page_table", None)  # type: ignore[arg-type]
    given = inputs(case)
    for name in ("seq_lens", "req_pool_indices"):
        given[name] = given[name][: case.bs]
    assert kernels().precompute_decode_metadata(
        **given,
        **out,
        max_len=max(case.seq_lens),
        nsa_index_topk=case.topk,
        real_page_size=case.page_size,
    )
    buffers.check()


def target_verify(case: Case) -> None:
    """All draft tokens of each request."""
    tokens = case.draft_tokens
    buffers = Buffers()
    out = outputs(case, buffers, case.bs * tokens)
    kv_lens = [n + tokens for n in case.seq_lens]
    expect_metadata(case, buffers, out, kv_lens, [tokens] * case.bs)
    fill(case, out, draft_tokens=tokens)
    buffers.check()


def draft_extend(case: Case) -> None:
    """The accepted tokens of each request."""
    buffers = Buffers()
    out = outputs(case, buffers, case.bs * case.draft_tokens)
    expect_metadata(case, buffers, out, list(case.seq_lens), list(case.accept))
    fill(case, out, extend_seq_lens=case.accepted)
    buffers.check()
