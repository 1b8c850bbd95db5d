"""Bugs in `fan-out`, `in-graph` and `target-verify` on releases with a precompute."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, KERNELS, RUNNER, Mutant
from tests.mutants.mutate import Drop, Edit, Swap

LAST = "0.5.12.post1"  # of family B
_BASE = "NativeSparseAttnBackend"
_MULTI = "NativeSparseAttnMultiStepBackend"
_FILL = f"{_BASE}._fill_metadata"
_REFRESH = f"{_BASE}._refresh_paged_mqa_schedule"
_FIND = f"{_BASE}._find_schedule_remainder"
_KERNEL = "_metadata_kernel"
_LAUNCH = "fill_metadata_inplace"
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
        "the schedule left to a kernel that is not told how",
        "paged_mqa_schedule_metadata",
        Swap(
            _FILL,
            "(req_pool_indices, source, self.nsa_index_topk, self.schedule_remainder)",
            "(req_pool_indices, source, self.nsa_index_topk, None)",
        ),
        patch="fan-out",
    ),
    _mutant(
        "the kernel's schedule believed, whatever DeepGEMM answers",
        "paged_mqa_schedule_metadata",
        Swap(
            f"{_MULTI}.init_cuda_graph_state",
            "first._find_schedule_remainder()",
            "'last'",
        ),
        patch="fan-out",
    ),
    _mutant(
        "DeepGEMM not asked where nobody else knows its schedule",
        "paged_mqa_schedule_metadata",
        Swap(_REFRESH, "self.schedule_remainder is None", "False"),
    ),
    _mutant(
        "the formula of lengths in rows, and the schedule of flat ones",
        "paged_mqa_schedule_metadata",
        Swap(_FIND, "lens.flatten()", "lens"),
        patch="fan-out",
        release="0.5.8.post1",
    ),
    *(
        _mutant(
            f"kernel: {name}",
            names,
            *edits,
            patch=patch,
            file=KERNELS,
        )
        for patch, name, names, *edits in (
            (
                "in-graph",
                "no schedule",
                "paged_mqa_schedule_metadata",
                Swap(_KERNEL, "NUM_SMS > 0", "NUM_SMS < 0"),
            ),
            (
                "in-graph",
                "the schedule of all rows but the last",
                "paged_mqa_schedule_metadata",
                Swap(
                    _KERNEL,
                    "_schedule_kernel(seq_lens, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
                    "_schedule_kernel(seq_lens, tokens - 1, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
                ),
            ),
            (
                "fan-out",
                "the schedule in rows of its own order",
                "paged_mqa_schedule_metadata",
                Swap(
                    _KERNEL,
                    "_schedule_kernel(seq_lens, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
                    "_schedule_kernel(req_pool_indices, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
                ),
            ),
            (
                "fan-out",
                "the last SM of the schedule left out",
                "paged_mqa_schedule_metadata",
                Swap(_LAUNCH, "schedule.shape[0] - 1", "schedule.shape[0] - 2"),
            ),
            (
                "fan-out",
                "sums by a program that is not there",
                "cache_seqlens_int32",
                Swap(
                    _KERNEL,
                    "tl.program_id(0) == tl.num_programs(0) - 1",
                    "tl.program_id(0) == tl.num_programs(0)",
                ),
            ),
            (
                "target-verify",
                "a draft token sees one token too few",
                "paged_mqa_schedule_metadata",
                Swap("_seen_by", "kv_len + token % most + 1", "kv_len + token % most"),
            ),
            (
                "target-verify",
                "the schedule of as many rows as requests",
                "paged_mqa_schedule_metadata",
                Swap(_KERNEL, "bs * most", "bs"),
            ),
            (
                "target-verify",
                "tokens past the last one in the schedule",
                "paged_mqa_schedule_metadata",
                Swap(
                    "_seen_by",
                    "tl.where(token < tokens, kv_len + token % most + 1, 0)",
                    "kv_len + token % most + 1",
                ),
            ),
        )
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
