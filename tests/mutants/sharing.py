"""Bugs in `in-graph`: shared buffers, filled inside the captured graph."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, RUNNER, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

_BASE = "NativeSparseAttnBackend"
_MULTI = "NativeSparseAttnMultiStepBackend"
_FILL = f"{_MULTI}.fill_metadata_in_graph"
_USE = f"{_MULTI}._use_shared_metadata"
_REPLAY = f"{_MULTI}.init_forward_metadata_replay_cuda_graph"
_RUN_ONCE = "EAGLEDraftCudaGraphRunner.capture_one_batch_size.run_once"


def _in_graph(name: str, names: str, *edits: Edit, file: str = BACKEND) -> Mutant:
    return Mutant(name, "in-graph", file, edits, "in-graph", "decode@runner", names)


def _not_in_graph(name: str, names: str, *edits: Edit) -> Mutant:
    """Where the draft runs without a graph that fills its metadata."""
    return Mutant(name, "in-graph", BACKEND, edits, "not-in-graph", "decode", names)


MUTANTS = (
    _in_graph(
        "in-graph: FlashMLA's metadata left out",
        "flashmla_metadata",
        Swap(
            f"{_BASE}._fill_metadata", 'self.nsa_decode_impl == "flashmla_kv"', "False"
        ),
    ),
    _in_graph(
        "in-graph: the replay fills again from the host",
        "the route did not run",
        Drop(_FILL, "self.in_graph_bs.add"),
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
        Drop(_USE, "backend.forward_metadata ="),
    ),
    _in_graph(
        "in-graph: prefill implementation not decided",
        "use_mha",
        Drop(_USE, "first.set_nsa_prefill_impl"),
    ),
    _in_graph(
        "in-graph: MLA or MHA decided for the first step only",
        "use_mha",
        Drop(_USE, "backend.use_mha ="),
    ),
    _in_graph(
        "in-graph: prefill implementation decided for the first step only",
        "nsa_prefill_impl",
        Drop(_USE, "backend.nsa_prefill_impl ="),
    ),
    _in_graph(
        "in-graph: gate inverted",
        "",
        Swap(
            f"{_MULTI}.__init__", "NSA_METADATA_IN_GRAPH", "not NSA_METADATA_IN_GRAPH"
        ),
    ),
    _not_in_graph(
        "in-graph: believed filled without a graph",
        "",
        Swap(_REPLAY, "bs in self.in_graph_bs", "bs not in self.in_graph_bs"),
    ),
    _not_in_graph(
        "in-graph: the fallback gives up at once",
        "the route did not run",
        Swap(_REPLAY, "self.shares_metadata", "not self.shares_metadata"),
    ),
    Mutant(
        "buffers shared although the gate is off",
        "in-graph",
        BACKEND,
        (Swap(f"{_MULTI}.__init__", "NSA_METADATA_IN_GRAPH", "True"),),
        "precomputed",
        "decode",
        "",
    ),
)
