"""Bugs in `fresh-plans`: what DeepGEMM and top-k v2 plan, in each way that it is refreshed."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, DSA_BACKEND, NEWEST, Mutant
from tests.mutants.mutate import Drop, Edit, Head, Swap
from verify.routes import RELEASED

ONE = "0.5.8.post1"  # each backend is copied to by itself
BOTH = "0.5.10.post1"  # so, and three at once from 4 steps on; flat lengths
LAST = "0.5.12.post1"  # three at once alone; lengths in rows
DSA = "0.5.13.post1"  # the same, and no plan
EXACT = "0.5.15.post1"  # with the plan; every buffer is compared whole
_NSA = "NativeSparseAttn"
_COPY = f"{_NSA}Backend.init_forward_metadata_replay_cuda_graph_from_precomputed"
_NSA_THREE = f"{_NSA}MultiStepBackend.init_forward_metadata_replay_cuda_graph"
_DSA_THREE = "DeepseekSparseAttnMultiStepBackend.init_forward_metadata_out_graph"

_SCHEDULE = "paged_mqa_schedule_metadata"
_PLAN = "topk_v2_plan"
_GATE = "envs.SGLANG_NSA_REFRESH_REPLAY_PLANS.get()"
_SMS = "deep_gemm.get_num_sms()"
_FELL_BACK = "unwanted: replay fell back"


def _mutant(
    name: str, names: str, *edits: Edit, release: str, route: str = "precomputed"
) -> Mutant:
    is_dsa = release in (DSA, EXACT, NEWEST)
    word = "newest" if release == NEWEST else release
    return Mutant(
        f"{word}: fresh-plans: {name}", "fresh-plans",
        DSA_BACKEND if is_dsa else BACKEND, edits, route, "decode", names,
        release=release,
    )  # fmt: skip


def _once(where: str, key: str) -> Swap:
    """Only at the first replay of each key."""
    kept = "vars(self).setdefault('refreshed', set())"
    return Swap(where, _GATE, f"{key} not in {kept} and not {kept}.add({key})")


def _before(where: str, metadata: str, ask: str) -> tuple[Edit, ...]:
    """The schedule of the lengths that the replay before left, instead of what is there."""
    return (
        Swap(where, _GATE, "False"),
        Head(
            where,
            f"import deep_gemm\nearly = {metadata}\n"
            f"if early is not None and early.{_SCHEDULE} is not None:\n"
            f"    early.{_SCHEDULE}.copy_(deep_gemm.get_paged_mqa_logits_metadata("
            f"{ask}, 64, {_SMS}))",
        ),
    )


def _of_one(name: str, *edits: Edit, names: str = _SCHEDULE) -> Mutant:
    return _mutant(name, names, *edits, release=ONE)


_ASKED = "precomputed.seqlens_expanded"
_MINE = f"metadata.{_SCHEDULE}"


def _lengths(new: str) -> Swap:
    """The planner is asked with these; the lengths are copied before it is."""
    return Swap(_COPY, _ASKED, new, nth=2, of=3)


_ONE_AT_A_TIME = (
    _of_one("gate inverted", Swap(_COPY, _GATE, f"not {_GATE}")),
    _of_one("condition inverted", Swap(_COPY, f"{_MINE} is not None", f"{_MINE} is None")),
    _of_one("the first step only", Swap(_COPY, _GATE, "self.speculative_step_id == 0")),
    _of_one("all but the last step", Swap(_COPY, _GATE, "self.speculative_step_id < 2")),
    _of_one("once a batch size", _once(_COPY, "bs")),
    _of_one("not for one request", Swap(_COPY, _GATE, "bs > 1")),
    _of_one("lengths cut to top-k", _lengths("precomputed.nsa_cache_seqlens")),
    _of_one("lengths of the first request alone", _lengths(f"{_ASKED}[:1]")),
    _of_one("lengths without the last request", _lengths(f"{_ASKED}[: max(bs - 1, 1)]")),
    _of_one("sums for lengths", _lengths("precomputed.cu_seqlens_k[1:]")),
    _of_one("lengths in another order", _lengths(f"{_ASKED}.flip(0)")),
    _of_one("lengths as rows", _lengths(f"{_ASKED}[:, None]")),
    _of_one("another block size", Swap(_COPY, "64", "128")),
    _of_one("the page size for the block size", Swap(_COPY, "64", "self.real_page_size")),
    _of_one("for one SM fewer", Swap(_COPY, _SMS, f"{_SMS} - 1"), names="size"),
    _of_one("the answer goes to a copy", Swap(_COPY, f"{_MINE}.copy_", f"{_MINE}.clone().copy_")),
    _of_one(
        "the answer takes the captured buffer's place",
        Swap(
            _COPY, f"{_MINE}.copy_",
            f"(lambda made: object.__setattr__(metadata, '{_SCHEDULE}', made))",
        ),
    ),
    _of_one(
        "half of the answer",
        Swap(
            _COPY, f"{_MINE}.copy_",
            f"(lambda made: {_MINE}[:64].copy_(made[:64]))",
        ),
    ),
    _of_one(
        "into the largest size's schedule",
        Swap(
            _COPY, f"{_MINE}.copy_",
            "self.decode_cuda_graph_metadata[max(k for k in "
            f"self.decode_cuda_graph_metadata if isinstance(k, int))].{_SCHEDULE}.copy_",
        ),
    ),
    _of_one(
        "before the lengths are written",
        *_before(
            _COPY, "self.decode_cuda_graph_metadata[bs]", "early.cache_seqlens_int32"
        ),
    ),
)  # fmt: skip


def _of_three(release: str, name: str, *edits: Edit, names: str = _SCHEDULE) -> Mutant:
    return _mutant(f"three at once: {name}", names, *edits, release=release)


_METADATA = "(metadata0, metadata1, metadata2)"
_FIRST = f"metadata0.{_SCHEDULE}"
_ROWS = f"_to_2d_context_lens({_ASKED}, bs)"
_EARLY = "self.attn_backends[0].decode_cuda_graph_metadata.get(bs)"
_AT_ONCE = (
    *(
        mutant
        for release, three, asked in (
            (BOTH, _NSA_THREE, _ASKED),
            (LAST, _NSA_THREE, _ROWS),
            (DSA, _DSA_THREE, _ROWS),
        )
        for mutant in (
            _of_three(release, "gate inverted", Swap(three, _GATE, f"not {_GATE}")),
            _of_three(
                release,
                "the last of the three skipped",
                Swap(three, _METADATA, "(metadata0, metadata1, metadata1)"),
            ),
            _of_three(release, "never copied", Drop(three, "torch._foreach_copy_(")),
            _of_three(
                release,
                "lengths without the last request",
                Swap(
                    three,
                    asked,
                    asked.replace(_ASKED, f"{_ASKED}[: max(bs - 1, 1)]").replace(
                        ", bs)", ", max(bs - 1, 1))"
                    ),
                ),
            ),
            _of_three(
                release,
                "what fails is hidden by the release's way out",
                Swap(three, _SMS, f"{_SMS} - 1"),
                names=_FELL_BACK,
            ),
        )
    ),
    _of_three(LAST, "condition inverted", Swap(_NSA_THREE, f"{_FIRST} is not None", f"{_FIRST} is None")),
    _of_three(LAST, "the first step only", Swap(_NSA_THREE, _METADATA, "(metadata0, metadata0, metadata0)")),
    _of_three(LAST, "once a batch size", _once(_NSA_THREE, "bs")),
    _of_three(LAST, "lengths cut to top-k", Swap(_NSA_THREE, _ASKED, "precomputed.nsa_cache_seqlens")),
    _of_three(LAST, "lengths flat, as before", Swap(_NSA_THREE, _ROWS, _ASKED)),
    _of_three(LAST, "lengths in one row", Swap(_NSA_THREE, _ROWS, f"{_ASKED}[None]")),
    _of_three(LAST, "another block size", Swap(_NSA_THREE, "64", "32")),
    _of_three(
        LAST,
        "before the lengths are written",
        *_before(_NSA_THREE, _EARLY, "_to_2d_context_lens(early.cache_seqlens_int32, bs)"),
    ),
    _of_three(
        LAST,
        "into the largest size's schedules",
        Swap(
            _NSA_THREE, _METADATA,
            "[b.decode_cuda_graph_metadata[max(k for k in b.decode_cuda_graph_metadata "
            "if isinstance(k, int))] for b in self.attn_backends[:3]]",
        ),
    ),
    _of_three(
        LAST,
        "forward_metadata of one step not set",
        Drop(_NSA_THREE, "self.attn_backends[1].forward_metadata = metadata1"),
        names="forward_metadata of backend 1",
    ),
    _of_three(
        LAST,
        "forward_metadata of the step before",
        Swap(
            _NSA_THREE,
            "self.attn_backends[2].forward_metadata = metadata2",
            "self.attn_backends[2].forward_metadata = metadata1",
        ),
        names="forward_metadata of backend 2",
    ),
)  # fmt: skip


def _of_plan(release: str, name: str, *edits: Edit, names: str = _PLAN) -> Mutant:
    return _mutant(f"with the plan: {name}", names, *edits, release=release)


_REFRESH = "first._refresh_paged_mqa_schedule_metadata"
_LENGTHS = "metadata0.cache_seqlens_int32"
_PLANNED = "metadata0.dsa_seqlens_expanded"
_COPIED = "torch._foreach_copy_(stale, fresh)"
_STALE = "(metadata0, *others)"
_WITH_PLAN = (
    *(
        mutant
        for release in (EXACT, NEWEST)
        for mutant in (
            _of_plan(release, "gate inverted", Swap(_DSA_THREE, _GATE, f"not {_GATE}"), names=_SCHEDULE),
            _of_plan(release, "no schedule", Drop(_DSA_THREE, _REFRESH), names=_SCHEDULE),
            _of_plan(release, "no plan", Swap(_DSA_THREE, "metadata0.topk_v2_plan is not None", "False")),
            _of_plan(release, "never copied", Drop(_DSA_THREE, _COPIED), names=_SCHEDULE),
            _of_plan(
                release,
                "what fails is hidden by the release's way out",
                Swap(_DSA_THREE, "[new_plan] * 3", "[new_plan] * 2"),
                names=_FELL_BACK,
            ),
        )
    ),
    _of_plan(NEWEST, "condition inverted", Swap(_DSA_THREE, f"{_FIRST} is not None", f"{_FIRST} is None"), names=_SCHEDULE),
    _of_plan(NEWEST, "one of three skipped", Swap(_DSA_THREE, "(metadata1, metadata2)", "(metadata1, metadata1)"), names=_SCHEDULE),
    _of_plan(NEWEST, "not for the first step", Swap(_DSA_THREE, _STALE, "(metadata1, *others)")),
    _of_plan(NEWEST, "not for the last of the three", Swap(_DSA_THREE, _STALE, "(metadata0, metadata1, metadata1)")),
    _of_plan(NEWEST, "copied the wrong way", Swap(_DSA_THREE, _COPIED, "torch._foreach_copy_(fresh, stale)"), names=_SCHEDULE),
    _of_plan(NEWEST, "a schedule of lengths cut to top-k", Swap(_DSA_THREE, _LENGTHS, "metadata0.dsa_cache_seqlens_int32", nth=1, of=2), names=_SCHEDULE),
    _of_plan(NEWEST, "a plan of lengths cut to top-k", Swap(_DSA_THREE, _PLANNED, "metadata0.dsa_cache_seqlens_int32")),
    _of_plan(NEWEST, "a plan of other rows", Swap(_DSA_THREE, _PLANNED, f"{_PLANNED}.flip(0)")),
    _of_plan(NEWEST, "a plan of lengths one too long", Swap(_DSA_THREE, _PLANNED, f"{_PLANNED} + 1")),
    _of_plan(NEWEST, "a plan for batches over a size that is never captured", Swap(_DSA_THREE, "metadata0.topk_v2_plan is not None", "bs > 64")),
    _of_plan(NEWEST, "the plan once a batch size", Swap(_DSA_THREE, "metadata0.topk_v2_plan is not None", "bs not in vars(self).setdefault('refreshed', set()) and not self.refreshed.add(bs)")),
    _of_plan(NEWEST, "the schedule once a batch size", _once(_DSA_THREE, "bs"), names=_SCHEDULE),
    _of_plan(
        NEWEST,
        "before the lengths are written",
        *_before(
            _DSA_THREE,
            "self.attn_backends[0].decode_cuda_graph_metadata.get(forward_batch.batch_size)",
            "_to_2d_context_lens(early.cache_seqlens_int32, forward_batch.batch_size)",
        ),
        names=_SCHEDULE,
    ),
    _of_plan(
        EXACT,
        "forward_metadata of one step not set",
        Drop(_DSA_THREE, "self.attn_backends[1].forward_metadata = metadata1"),
        names="forward_metadata of backend 1",
    ),
)  # fmt: skip

# Switched off, what the release leaves stale has to be there again.
_GATE_IGNORED = tuple(
    _mutant(
        "gate ignored", _SCHEDULE, Swap(where, _GATE, "True"),
        release=release, route=RELEASED.name,
    )
    for release, where in (
        (ONE, _COPY), (LAST, _NSA_THREE), (DSA, _DSA_THREE), (EXACT, _DSA_THREE), (NEWEST, _DSA_THREE),
    )
)  # fmt: skip

MUTANTS = (*_ONE_AT_A_TIME, *_AT_ONCE, *_WITH_PLAN, *_GATE_IGNORED)
