"""Run one kernel of a case into fresh buffers, and check every byte of them."""

from __future__ import annotations

import torch

from tests.patches.kernels import kernels
from tests.patches.reference import Buffers, Case, expect_metadata, outputs

FAN_OUT_BUFFERS = (
    "cache_seqlens",
    "cu_seqlens_k",
    "nsa_cache_seqlens",
    "nsa_cu_seqlens_k",
    "page_table",
    "real_page_table",
)


def inputs(case: Case) -> dict[str, torch.Tensor]:
    req_to_token, req_pool_indices = case.pool()
    return {
        "seq_lens": case.lens,
        "req_pool_indices": req_pool_indices,
        "req_to_token": req_to_token,
    }


def limits(case: Case) -> dict[str, int]:
    return {"nsa_index_topk": case.topk, "real_page_size": case.page_size}


def decode_buffers(case: Case) -> tuple[Buffers, dict[str, torch.Tensor]]:
    buffers = Buffers()
    out = outputs(case, buffers, case.bs, expanded=False)
    expect_metadata(case, buffers, out, list(case.seq_lens), [1] * case.bs)
    out.setdefault("real_page_table", None)  # type: ignore[arg-type]
    return buffers, out


def fused_decode(case: Case) -> None:
    buffers, out = decode_buffers(case)
    out["page_indices"] = out.pop("page_table")
    kernels().precompute_decode_metadata(
        **inputs(case), **out, **limits(case), max_len=max(case.seq_lens)
    )
    buffers.check()


def in_graph(case: Case) -> None:
    buffers, out = decode_buffers(case)
    given = {k: v.contiguous() for k, v in inputs(case).items()}
    kernels().fill_decode_metadata_in_graph(**given, **out, **limits(case))
    buffers.check()


def fan_out(case: Case, backends: int = 3) -> None:
    every = [decode_buffers(case) for _ in range(backends)]
    tables = [{**out} for _, out in every]
    for out in tables:
        if out["real_page_table"] is None:
            out["real_page_table"] = out["page_table"]
    addresses = [[out[name].data_ptr() for name in FAN_OUT_BUFFERS] for out in tables]
    first = tables[0]
    kernels().fan_out_decode_metadata(
        bs=case.bs,
        **inputs(case),
        **limits(case),
        fan_out_table=torch.tensor(addresses, device=first["page_table"].device),
        page_table_stride=first["page_table"].stride(0),
        real_page_table_stride=first["real_page_table"].stride(0),
        aligned=kernels()._is_aligned(*(out["page_table"] for out in tables)),
        max_seqlen_k=max(case.seq_lens),
    )
    for buffers, _ in every:
        buffers.check()


def target_verify(case: Case) -> None:
    tokens = case.draft_tokens
    buffers = Buffers()
    out = outputs(case, buffers, case.bs * tokens)
    kv_lens = [n + tokens for n in case.seq_lens]
    expect_metadata(case, buffers, out, kv_lens, [tokens] * case.bs)
    out.setdefault("real_page_table", None)  # type: ignore[arg-type]
    kernels().fill_target_verify_metadata_inplace(
        bs=case.bs,
        **inputs(case),
        **out,
        **limits(case),
        max_seqlen_k=max(kv_lens),
        draft_tokens=tokens,
    )
    buffers.check()


def draft_extend(case: Case) -> None:
    buffers = Buffers()
    out = outputs(case, buffers, case.bs * case.draft_tokens)
    expect_metadata(case, buffers, out, list(case.seq_lens), list(case.accept))
    out.setdefault("real_page_table", None)  # type: ignore[arg-type]
    kernels().fill_draft_extend_replay_metadata_inplace(
        bs=case.bs,
        **inputs(case),
        **out,
        **limits(case),
        extend_seq_lens=case.accepted,
        max_seqlen_k=max(case.seq_lens),
    )
    buffers.check()
