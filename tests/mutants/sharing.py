"""Bugs in `in-graph`: shared buffers, filled inside the captured graph."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, RUNNER, Mutant
from tests.mutants.mutate import Drop, Edit, Set, Swap

_MULTI = "NativeSparseAttnMultiStepBackend"
_KERNEL = "_decode_metadata_kernel"
_FILL = f"{_MULTI}.fill_metadata_in_graph"
_RUN_ONCE = "EAGLEDraftCudaGraphRunner.capture_one_batch_size.run_once"


def _in_graph(name: str, names: str, *edits: Edit, file: str = KERNELS) -> Mutant:
    return Mutant(name, "in-graph", file, edits, "in-graph", "decode@runner", names)


MUTANTS = (
    _in_graph(
        "in-graph: longest row misjudged",
        "page_table",
        Set(_KERNEL, "max_seqlen_k", "tl.min(tl.where(i < bs, kv_len, 4096), 0)"),
    ),
    _in_graph(
        "in-graph: longest row not looked for",
        "page_table",
        Set(_KERNEL, "max_seqlen_k", "tl.load(seq_lens).to(tl.int32)"),
    ),
    _in_graph(
        "in-graph: a tile stored twice",
        "page_table",
        Drop(_KERNEL, "pages = next_pages"),
    ),
    _in_graph(
        "in-graph: lengths not stored",
        "seqlens",
        Drop(_KERNEL, "_store_decode_seqlens("),
    ),
    _in_graph(
        "in-graph: FlashMLA's metadata left out",
        "flashmla_metadata",
        Swap(_FILL, "metadata.flashmla_metadata is not None", "False"),
        file=BACKEND,
    ),
    _in_graph(
        "in-graph: the replay fills again from the host",
        "the route did not run",
        Drop(_FILL, "self.in_graph_bs.add"),
        file=BACKEND,
    ),
    _in_graph(
        "in-graph: filled after the draft has read it",
        "seen",
        Drop(_RUN_ONCE, "draft_attn_backend.fill_metadata_in_graph"),
        Swap(
            _RUN_ONCE,
            "ret = self.eagle_worker.draft_forward(forward_batch)",
            "ret = self.eagle_worker.draft_forward(forward_batch)\n"
            "draft_attn_backend.fill_metadata_in_graph(forward_batch)",
        ),
        file=RUNNER,
    ),
    _in_graph(
        "in-graph: never filled",
        "the route did not run",
        Drop(_RUN_ONCE, "draft_attn_backend.fill_metadata_in_graph"),
        file=RUNNER,
    ),
    _in_graph(
        "in-graph: forward_metadata not set",
        "forward_metadata",
        Drop(
            f"{_MULTI}.init_forward_metadata_replay_cuda_graph",
            "self._set_forward_metadata",
        ),
        file=BACKEND,
    ),
    _in_graph(
        "in-graph: prefill implementation not decided",
        "use_mha",
        Drop(f"{_MULTI}._set_forward_metadata", "first.set_nsa_prefill_impl"),
        file=BACKEND,
    ),
    _in_graph(
        "in-graph: MLA or MHA decided for the first step only",
        "use_mha",
        Drop(f"{_MULTI}._set_forward_metadata", "attn_backend.use_mha ="),
        file=BACKEND,
    ),
    _in_graph(
        "in-graph: prefill implementation decided for the first step only",
        "nsa_prefill_impl",
        Drop(f"{_MULTI}._set_forward_metadata", "attn_backend.nsa_prefill_impl ="),
        file=BACKEND,
    ),
    Mutant(
        "buffers shared although the gate is off",
        "in-graph",
        BACKEND,
        (
            Swap(
                f"{_MULTI}._can_share_metadata",
                "envs.SGLANG_NSA_METADATA_IN_GRAPH.get()",
                "True",
            ),
        ),
        "fan-out",
        "decode",
        "shared with backend 0",
    ),
)
