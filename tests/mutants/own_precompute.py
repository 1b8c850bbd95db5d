"""Bugs in `fan-out`, `in-graph` and `target-verify` on releases with a precompute."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, RUNNER, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

LAST = "0.5.12.post1"  # of family B
_BASE = "NativeSparseAttnBackend"
_MULTI = "NativeSparseAttnMultiStepBackend"
_FILL = f"{_BASE}._fill_metadata"
_REFRESH = f"{_BASE}._refresh_paged_mqa_schedule"
_RUN_ONCE = "EAGLEDraftCudaGraphRunner.capture_one_batch_size.run_once"
_HOOK = "draft_attn_backend.fill_metadata_in_graph(forward_batch)"
_MET = {
    "fan-out": ("fan-out", "decode"),
    "in-graph": ("in-graph", "decode@runner"),
    "target-verify": ("fused", "target_verify"),
}
_DRAFT = "ret = self.eagle_worker.draft_forward(forward_batch)"


def _mutant(
    name: str,
    names: str,
    *edits: Edit,
    patch: str = "in-graph",
    file: str = BACKEND,
    release: str = LAST,
) -> Mutant:
    route, mode = _MET[patch]
    return Mutant(
        f"{release}: {patch}: {name}", patch, file, edits, route, mode, names,
        kind=f"{patch} on NSA with a precompute", release=release,
    )  # fmt: skip


MUTANTS = (
    *(
        _mutant(
            "DeepGEMM's schedule left as at capture",
            "paged_mqa_schedule_metadata",
            Drop(_FILL, "self._refresh_paged_mqa_schedule"),
            patch=patch,
            release=release,
        )
        for patch, release in (
            ("fan-out", "0.5.8.post1"),
            ("fan-out", LAST),
            ("in-graph", LAST),
            ("target-verify", LAST),
        )
    ),
    _mutant(
        "DeepGEMM's schedule made for lengths cut to top-k",
        "paged_mqa_schedule_metadata",
        Swap(
            _REFRESH,
            "metadata.nsa_seqlens_expanded",
            "metadata.nsa_cache_seqlens_int32",
        ),
        patch="fan-out",
    ),
    _mutant(
        "the last step left out",
        "forward_metadata",
        Swap(
            f"{_MULTI}._use_shared_metadata",
            "self.attn_backends",
            "self.attn_backends[:-1]",
            nth=1,
            of=2,
        ),
        patch="fan-out",
    ),
    _mutant(
        "steps keep tables of their own",
        "page_table",
        Swap(
            f"{_MULTI}.init_cuda_graph_state",
            "backend.decode_cuda_graph_metadata = first.decode_cuda_graph_metadata",
            "backend.init_cuda_graph_state(max_bs, max_num_tokens)",
        ),
    ),
    _mutant(
        "filled after the draft has read it",
        "seen",
        Drop(_RUN_ONCE, _HOOK),
        Swap(_RUN_ONCE, _DRAFT, f"{_DRAFT}\n{_HOOK}"),
        file=RUNNER,
    ),
    _mutant(
        "the backend of another number of steps is asked",
        "the route did not run",
        Swap(
            _RUN_ONCE,
            "draft_attn_backend = self.draft_attn_backend",
            "draft_attn_backend = self.model_runner.draft_attn_backend",
        ),
        file=RUNNER,
    ),
    _mutant(
        "a host read in the captured function",
        "a host read in the captured function",
        Swap(
            _REFRESH,
            "deep_gemm.get_num_sms()",
            "deep_gemm.get_num_sms() + 0 * int(metadata.cache_seqlens_int32[0].item())",
        ),
    ),
)
