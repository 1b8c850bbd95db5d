"""A release's own multi-step replay, lifted out of its dsa_backend.py and run alone.

Captured with lengths of 1 as a server does, replayed once with long ones.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
STEPS = 5
WIDTH = 163840
PAGE = 64
LIFTED = (
    "_to_2d_context_lens",
    "DeepseekSparseAttnMultiStepBackend.init_forward_metadata_out_graph",
    "DeepseekSparseAttnBackend._refresh_paged_mqa_schedule_metadata",
    "DeepseekSparseAttnBackend._refresh_topk_v2_plan",
    "DeepseekSparseAttnBackend._build_topk_v2_plan",
    "DeepseekSparseAttnBackend.init_forward_metadata_replay_cuda_graph_from_precomputed",
)


def lifted(tree: Path) -> dict[str, Any]:
    """The replay's functions out of the tree's backend, by their last name."""
    import deep_gemm
    import torch

    from sglang.srt.environ import envs

    def stop(*words: object) -> None:
        raise RuntimeError(f"the copy to three backends fell back: {words}")

    namespace: dict[str, Any] = {
        "torch": torch,
        "envs": envs,
        "is_cuda": lambda: True,
        "ForwardMode": types.SimpleNamespace(
            DECODE=types.SimpleNamespace(is_decode_or_idle=lambda: True)
        ),
        "resolve_paged_mqa_logits_metadata_fn": lambda: (
            deep_gemm.get_paged_mqa_logits_metadata
        ),
        "resolve_num_sms": deep_gemm.get_num_sms,
        # Upstream prints and goes on with a loop that refreshes everything.
        "print": stop,
    }
    text = (tree / BACKEND).read_text(encoding="utf-8")
    body: list[ast.stmt] = list(ast.parse("from __future__ import annotations").body)
    for node in ast.parse(text).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inner:
            if isinstance(one, ast.FunctionDef) and prefix + one.name in LIFTED:
                body.append(one)
    if len(body) != 1 + len(LIFTED):
        raise RuntimeError(f"{BACKEND} does not define all of {', '.join(LIFTED)}")
    exec(compile(ast.Module(body, []), BACKEND, "exec"), namespace)
    return namespace


def replayed(
    code: dict[str, Any], bs: int, length: int, device: str
) -> tuple[Any, Any, Callable[[], None]]:
    """The metadata of backends 0 and 3 after a replay, and the replay call."""
    import torch

    lengths = torch.full((bs,), length, dtype=torch.int32, device=device)
    source = _precomputed(bs, lengths)

    class Backend:
        experimental_kpool_metadata_fusion = False
        _refresh_paged_mqa_schedule_metadata = code[
            "_refresh_paged_mqa_schedule_metadata"
        ]
        _refresh_topk_v2_plan = code["_refresh_topk_v2_plan"]
        _build_topk_v2_plan = code["_build_topk_v2_plan"]
        dsa_topk_backend = types.SimpleNamespace(should_use_topk_v2=lambda: True)
        init_forward_metadata_replay_cuda_graph_from_precomputed = code[
            "init_forward_metadata_replay_cuda_graph_from_precomputed"
        ]

        def __init__(self) -> None:
            self.decode_cuda_graph_metadata = {bs: _captured(code, bs, device)}

        def _precompute_replay_metadata(self, **given: object) -> Any:
            return source

        def set_dsa_prefill_impl(self, forward_batch: object) -> None:
            pass

        def _update_kpool_metadata_from_precomputed(self, *given: object) -> None:
            pass

        def _copy_base_replay_buffers(
            self, bs: int, metadata: Any, precomputed: Any, mode: object
        ) -> None:
            metadata.cache_seqlens_int32.copy_(precomputed.cache_seqlens)
            metadata.real_page_table.copy_(precomputed.real_page_table)

    backends = [Backend() for _ in range(STEPS - 1)]
    multi = types.SimpleNamespace(attn_backends=backends, speculative_num_steps=STEPS)
    batch = types.SimpleNamespace(
        batch_size=bs, req_pool_indices=None, seq_lens=lengths, seq_lens_cpu=None
    )

    def call() -> None:
        code["init_forward_metadata_out_graph"](multi, batch)
        if device == "cuda":
            torch.cuda.synchronize()

    call()
    first, last = (
        one.decode_cuda_graph_metadata[bs] for one in (backends[0], backends[3])
    )
    for metadata in (first, last):
        if not torch.equal(metadata.cache_seqlens_int32, lengths):
            raise RuntimeError("the replay did not copy the lengths")
        if not torch.equal(metadata.real_page_table, source.real_page_table):
            raise RuntimeError("the replay did not copy the page table")
    return first, last, call


def _precomputed(bs: int, lengths: Any) -> Any:
    import torch

    device = lengths.device
    pages = WIDTH // PAGE
    table = torch.arange(bs * pages, dtype=torch.int32, device=device).view(bs, pages)
    zero = torch.zeros(bs + 1, dtype=torch.int32, device=device)
    return types.SimpleNamespace(
        cache_seqlens=lengths,
        seqlens_expanded=lengths,
        cu_seqlens_k=zero,
        # Nobody reads it with top-k v2; a narrow one keeps the memory small.
        page_indices=torch.zeros(bs, PAGE, dtype=torch.int32, device=device),
        dsa_cache_seqlens=lengths.clamp(max=2048),
        dsa_cu_seqlens_k=zero,
        real_page_table=table,
        flashmla_metadata=None,
        max_len=PAGE,
        max_seqlen_k=PAGE,
        seqlens_expanded_size=bs,
    )


def _captured(code: dict[str, Any], bs: int, device: str) -> Any:
    """A backend's buffers as a capture leaves them: planned for lengths of 1."""
    import deep_gemm
    import torch

    from sglang.kernels.ops.attention.dsv4.topk import plan_topk_v2

    ones = torch.ones(bs, dtype=torch.int32, device=device)
    two = code["_to_2d_context_lens"](ones, bs)
    source = _precomputed(bs, ones)
    return types.SimpleNamespace(
        cache_seqlens_int32=ones,
        dsa_seqlens_expanded=ones,
        paged_mqa_ctx_lens_2d=two,
        cu_seqlens_k=source.cu_seqlens_k.clone(),
        page_table_1=source.page_indices.clone(),
        dsa_cache_seqlens_int32=ones.clone(),
        dsa_cu_seqlens_k=source.dsa_cu_seqlens_k.clone(),
        real_page_table=torch.zeros_like(source.real_page_table),
        flashmla_metadata=None,
        paged_mqa_schedule_metadata=deep_gemm.get_paged_mqa_logits_metadata(
            two, 64, deep_gemm.get_num_sms()
        ),
        topk_v2_plan=plan_topk_v2(ones),
    )
