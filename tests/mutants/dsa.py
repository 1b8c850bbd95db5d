"""Bugs in `fan-out` and `in-graph` on family C: shared buffers, one fill for all steps."""

from __future__ import annotations

from tests.mutants.catalogue import (
    DSA_BACKEND,
    DSA_KERNELS,
    NEWEST,
    RUNNER,
    Mutant,
)
from tests.mutants.mutate import Drop, Edit, Swap

OLDER = "0.5.13.post1"  # with the kernel of the older families
_MULTI = "DeepseekSparseAttnMultiStepBackend"
_IN_GRAPH = f"{_MULTI}.init_forward_metadata_in_graph"
_OUT_GRAPH = f"{_MULTI}.init_forward_metadata_out_graph"
_STATE = f"{_MULTI}.init_cuda_graph_state"
_FILL = f"{_MULTI}._fill_metadata"
_KERNEL = "_draft_metadata_kernel"
_PLAN = "_topk_plan_kernel"
# A start at which the kernel's plans are believed without being compared.
_BELIEVED = Swap(
    "find_limits",
    "not (_launched(_topk_plan_kernel[(1,)], lens, len(lens), plan, limits, 16) "
    "and torch.equal(plan[0], theirs[0]) "
    "and torch.equal(plan[1:1 + len(items)], items[items[:, 0].argsort()]))",
    "False",
)
_USE = f"{_MULTI}._use_shared_metadata"
_RUN_ONCE = "EAGLEDraftCudaGraphRunner.capture_one_shape.run_once"
_HOOK = "self.draft_attn_backend.init_forward_metadata_in_graph(forward_batch)"
_DRAFT = "ret = self.eagle_worker.draft_forward(forward_batch)"


def _mutant(
    name: str,
    names: str,
    *edits: Edit,
    route: str = "in-graph",
    file: str = DSA_BACKEND,
    release: str = NEWEST,
) -> Mutant:
    patch = "fan-out" if route == "fan-out" else "in-graph"
    mode = "decode@runner" if route == "in-graph" else "decode"
    word = "newest" if release == NEWEST else release
    return Mutant(
        f"{word}: {name}", patch, file, edits, route, mode, names,
        kind=f"{patch} on DSA", release=release,
    )  # fmt: skip


MUTANTS = (
    _mutant(
        "filled after the draft has read it",
        "seen",
        Drop(_RUN_ONCE, _HOOK),
        Swap(_RUN_ONCE, _DRAFT, f"{_DRAFT}\n{_HOOK}"),
        file=RUNNER,
    ),
    _mutant(
        "said to be filled and never filled",
        "cache_seqlens_int32",
        Swap(_IN_GRAPH, "self._fill_metadata(forward_batch)", "True"),
    ),
    _mutant(
        "the replay fills again from the host",
        "the route did not run",
        Drop(_IN_GRAPH, "self.in_graph_bs.add"),
    ),
    _mutant(
        "a size whose graph did not fill is not filled",
        "cache_seqlens_int32",
        Swap(_OUT_GRAPH, "self._fill_metadata(forward_batch)", "True"),
        route="not-in-graph",
    ),
    _mutant(
        "a host read in the captured function",
        "a host read in the captured function",
        Swap(_FILL, "forward_batch.seq_lens", "forward_batch.seq_lens.cpu()"),
    ),
    _mutant(
        "rows in another order",
        "page_table",
        Swap(
            _FILL,
            "forward_batch.req_pool_indices",
            "forward_batch.req_pool_indices.flip(0)",
        ),
    ),
    _mutant(
        "long sequences cut short",
        "cache_seqlens_int32",
        Swap(_FILL, "forward_batch.seq_lens", "forward_batch.seq_lens.clamp(max=64)"),
    ),
    _mutant(
        "DeepGEMM's schedule left as at capture",
        "paged_mqa_schedule_metadata",
        Drop(_FILL, "first._refresh_paged_mqa_schedule_metadata"),
    ),
    _mutant(
        "the top-k plan left as at capture",
        "topk_v2_plan",
        Swap(_FILL, "self.topk_plan_limits", "None", nth=0, of=2),
    ),
    _mutant(
        "the plan of a planner of another kind left as at capture",
        "topk_v2_plan",
        Swap(_STATE, "find_limits(first._build_topk_v2_plan, first.device)", "None"),
        Drop(_FILL, "first._refresh_topk_v2_plan"),
    ),
    _mutant(
        "kernel: top-k's plan has rows at its threshold",
        "topk_v2_plan",
        _BELIEVED,
        Swap(_PLAN, "kv_len > threshold", "kv_len >= threshold"),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: rows at a threshold counted for top-k's plan",
        "topk_v2_plan",
        _BELIEVED,
        Swap(
            _PLAN,
            "kv_len[:, None] > thresholds[None, :]",
            "kv_len[:, None] >= thresholds[None, :]",
        ),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: one row fewer over a threshold of top-k's plan",
        "topk_v2_plan",
        _BELIEVED,
        Swap(_PLAN, "longer <= tl.load(limit + 1)", "longer < tl.load(limit + 1)"),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: a row of top-k's plan lost under row 0",
        "topk_v2_plan",
        _BELIEVED,
        Swap(
            _PLAN,
            "count + tl.cumsum(is_longer.to(tl.int32), 0)",
            "count + tl.cumsum(is_longer.to(tl.int32), 0) - 1",
        ),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: top-k's plan in a program that few batches have",
        "topk_v2_plan",
        Swap(_KERNEL, "tl.maximum(tl.num_programs(0) - 2, 0)", "1"),
        file=DSA_KERNELS,
        route="fan-out",
    ),
    _mutant(
        "a schedule that is thought to be the kernel's",
        "paged_mqa_schedule_metadata",
        Swap(_FILL, "self.schedule_remainder is None", "False"),
    ),
    _mutant(
        "kernel: a row ends one token early",
        "page_table",
        Swap(
            _KERNEL,
            "tl.load(seq_lens + row).to(tl.int32)",
            "tl.load(seq_lens + row).to(tl.int32) - 1",
        ),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: lengths past top-k not cut",
        "dsa_cache_seqlens_int32",
        Swap(_KERNEL, "tl.minimum(kv_len, dsa_index_topk)", "kv_len"),
        file=DSA_KERNELS,
    ),
    _mutant(
        "kernel: last tile of a row not walked",
        "page_table",
        Swap(
            _KERNEL,
            "range(tl.program_id(0) * BLOCK_COLS, end, step)",
            "range(tl.program_id(0) * BLOCK_COLS, end - BLOCK_COLS, step)",
        ),
        file=DSA_KERNELS,
        route="fan-out",
    ),
    _mutant(
        "steps keep tables of their own",
        "page_table",
        Swap(
            _STATE,
            "attn_backend.decode_cuda_graph_metadata = first.decode_cuda_graph_metadata",
            "pass",
        ),
    ),
    _mutant(
        "forward_metadata not set",
        "forward_metadata",
        Drop(_USE, "attn_backend.forward_metadata ="),
    ),
    _mutant(
        "prefill implementation not decided",
        "use_mha",
        Drop(_USE, "first.set_dsa_prefill_impl"),
    ),
    _mutant(
        "prefill implementation decided for the first step only",
        "dsa_prefill_impl",
        Drop(_USE, "attn_backend.dsa_prefill_impl ="),
    ),
    _mutant(
        "gate inverted",
        "the route did not run",
        Swap(_STATE, "DSA_METADATA_IN_GRAPH", "not DSA_METADATA_IN_GRAPH"),
    ),
    _mutant(
        "DeepGEMM's schedule left as at capture",
        "paged_mqa_schedule_metadata",
        Drop(_FILL, "metadata.paged_mqa_schedule_metadata.copy_"),
        release=OLDER,
    ),
    _mutant(
        "a schedule that is thought to be the kernel's",
        "paged_mqa_schedule_metadata",
        Swap(_FILL, "self.schedule_remainder is None", "False"),
        release=OLDER,
    ),
    _mutant(
        "kernel: a schedule of cut lengths",
        "paged_mqa_schedule_metadata",
        Swap(
            "_metadata_kernel",
            "_schedule_kernel(seq_lens, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
            "_schedule_kernel(dsa_cache_seqlens, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS)",
        ),
        file=DSA_KERNELS,
        release=OLDER,
    ),
    _mutant(
        "FlashMLA's metadata left as at capture",
        "flashmla_metadata",
        Drop(_FILL, "metadata.flashmla_metadata.slice"),
        release=OLDER,
    ),
    _mutant(
        "the replay fills again from the host",
        "the route did not run",
        Swap(_FILL, "return True", "return False"),
        release=OLDER,
    ),
    _mutant(
        "fan-out: gate inverted",
        "the route did not run",
        Swap(_STATE, "DSA_METADATA_FAN_OUT", "not DSA_METADATA_FAN_OUT"),
        route="fan-out",
    ),
    _mutant(
        "fan-out: the size of an earlier batch used",
        "forward_metadata",
        Swap(_USE, "first.decode_cuda_graph_metadata[bs]", "first.forward_metadata"),
        route="fan-out",
        release=OLDER,
    ),
    _mutant(
        "fan-out: DeepGEMM's schedule left as at capture",
        "paged_mqa_schedule_metadata",
        Drop(_FILL, "metadata.paged_mqa_schedule_metadata.copy_"),
        route="fan-out",
        release=OLDER,
    ),
)
