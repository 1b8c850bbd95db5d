"""Bugs in `verify-in-graph`: target_verify's graph, the replay before it, its inputs."""

from __future__ import annotations

from tests.mutants.catalogue import DSA_BACKEND, NEWEST, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

NAME = "verify-in-graph"
OLDER = "0.5.15.post1"  # where every buffer is compared whole
_RUNNERS = "sglang/srt/model_executor"
RUNNER = f"{_RUNNERS}/runner/decode_cuda_graph_runner.py"
REGISTRY = f"{_RUNNERS}/cuda_graph_buffer_registry.py"
_BACKEND = "DeepseekSparseAttnBackend"
_IN_GRAPH = f"{_BACKEND}.init_forward_metadata_in_graph"
_OUT_GRAPH = f"{_BACKEND}.init_forward_metadata_out_graph"
_APPLY = f"{_BACKEND}._apply_cuda_graph_metadata"
_CAN = f"{_BACKEND}._can_verify_in_graph"
_CAPTURE = "DecodeCudaGraphRunner.capture_one_shape.run_once"
_GATE = "DSA_VERIFY_METADATA_IN_GRAPH"
_ROUTE = "the route did not run"


def _mutant(
    name: str,
    names: str,
    *edits: Edit,
    route: str = NAME,
    file: str = DSA_BACKEND,
    release: str = NEWEST,
) -> Mutant:
    word = "newest" if release == NEWEST else release
    return Mutant(
        f"{word}: verify: {name}", NAME, file, edits, route, "target_verify@runner",
        names, kind=f"{NAME} on DSA", release=release,
    )  # fmt: skip


MUTANTS = (
    _mutant(
        "filled after the model has read it",
        "seen",
        Drop(_CAPTURE, "self._run_in_graph_metadata_prep(attn_backend, forward_batch)"),
        Swap(
            _CAPTURE,
            "join_in_graph_metadata_prep()",
            "self._run_in_graph_metadata_prep(attn_backend, forward_batch)",
        ),
        file=RUNNER,
    ),
    _mutant(
        "filled after the model has read it",
        "seen",
        Drop(_CAPTURE, "attn_backend.init_forward_metadata_in_graph(forward_batch)"),
        Swap(
            _CAPTURE,
            'getattr(self.model_runner, "dflash_draft_sampler", None)',
            "attn_backend.init_forward_metadata_in_graph(forward_batch)",
        ),
        file=RUNNER,
        release=OLDER,
    ),
    *(
        _mutant(
            "said to be filled and never filled",
            "cache_seqlens_int32",
            Drop(_IN_GRAPH, "self._apply_cuda_graph_metadata("),
            release=release,
        )
        for release in (NEWEST, OLDER)
    ),
    _mutant(
        "the replay prepares all the same",
        _ROUTE,
        Drop(_IN_GRAPH, "self.verify_in_graph_bs.add"),
    ),
    _mutant(
        "the runner does not call the hook",
        _ROUTE,
        Drop(_CAPTURE, "self._run_in_graph_metadata_prep(attn_backend, forward_batch)"),
        file=RUNNER,
    ),
    _mutant(
        "forward_metadata not set",
        "forward_metadata",
        Drop(_OUT_GRAPH, "self.forward_metadata ="),
    ),
    _mutant(
        "forward_metadata of another size",
        "forward_metadata",
        Swap(
            _OUT_GRAPH,
            "self.decode_cuda_graph_metadata[forward_batch.batch_size]",
            "self.decode_cuda_graph_metadata[max(self.verify_in_graph_bs)]",
        ),
    ),
    _mutant(
        "prefill implementation not decided",
        "use_mha",
        Drop(_OUT_GRAPH, "self.set_dsa_prefill_impl"),
    ),
    _mutant(
        "a host read in the captured function",
        "a host read in the captured function",
        Swap(_IN_GRAPH, "forward_batch.seq_lens", "forward_batch.seq_lens.cpu()"),
    ),
    _mutant(
        "rows in another order",
        "page_table",
        Swap(
            _IN_GRAPH,
            "forward_batch.req_pool_indices",
            "forward_batch.req_pool_indices.flip(0)",
        ),
    ),
    _mutant(
        "lengths of the capture",
        "cache_seqlens_int32",
        Swap(
            _IN_GRAPH,
            "forward_batch.seq_lens",
            "vars(self).setdefault(f'kept{bs}', forward_batch.seq_lens.clone())",
        ),
    ),
    _mutant(
        "as if it were a draft step",
        "Capture cuda graph failed",
        Swap(
            _IN_GRAPH,
            "forward_batch.forward_mode",
            "ForwardMode.DECODE",
            nth=1,
            of=2,
        ),
    ),
    _mutant(
        "DeepGEMM's schedule left as at capture",
        "paged_mqa_schedule_metadata",
        Drop(_APPLY, "self._refresh_paged_mqa_schedule_metadata"),
    ),
    _mutant(
        "the top-k plan left as at capture",
        "topk_v2_plan",
        Drop(_APPLY, "self._refresh_topk_v2_plan"),
    ),
    _mutant(
        "FlashMLA's metadata left as at capture",
        "flashmla_metadata",
        Drop(_APPLY, "flashmla_metadata.copy_("),
        release=OLDER,
    ),
    _mutant(
        "gate inverted",
        _ROUTE,
        Swap(_IN_GRAPH, _GATE, f"not {_GATE}"),
    ),
    _mutant(
        "gate ignored",
        _ROUTE,
        Swap(_IN_GRAPH, _GATE, "True"),
        route="verify-gate-off",
    ),
    _mutant(
        "refused for what never is",
        _ROUTE,
        Swap(_CAN, "self.hisparse_coordinator is None", "False"),
    ),
    _mutant(
        "padded rows as an earlier batch left them",
        "cache_seqlens_int32",
        Swap(
            "build_decode_registry",
            "PaddingPolicy.FILL_SENTINEL",
            "PaddingPolicy.KEEP_PAD",
            nth=0,
            of=2,
        ),
        file=REGISTRY,
    ),
    _mutant(
        "the inputs of the batch before",
        "cache_seqlens_int32",
        Drop("DecodeCudaGraphRunner.load_batch", "self.buffer_registry.fill_from("),
        file=RUNNER,
    ),
)
