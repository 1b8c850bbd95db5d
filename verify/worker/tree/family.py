"""What family C (DSA, from 0.5.13 on) asks of the runtime otherwise than NSA does.

A tree is of it when it has `dsa_backend.py`; a `nsa_backend.py` beside that is a shim that
points there. Up to 0.5.16 settings come from `server_args`, later from getters of
`sglang.srt.runtime_context`; both are answered here for one rank on an H200.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from verify.worker.scenario import Scenario
from verify.worker.tree import plain_copies, standins, tails
from verify.worker.tree.stubs import Record

BACKEND = "sglang.srt.layers.attention.dsa_backend"
INTERFACE = "sglang.kernels.ops.attention.flash_mla_interface"
_RUNTIME: dict[str, Any] = {}
"""What the getters answer; set for each scenario before its backends are built."""

# Batches outside of these rows have no plan. It has the rows over a length: the lowest that
# no more rows exceed than stand beside it. Those of 0.5.23 on an H200, a thousandth as
# long: contexts on a CPU are short.
PLANNED_ROWS = range(31, 513)
PLAN_LIMITS = ((64, 30), (96, 45), (128, 60), (192, 80), (256, 112), (384, 128))


def is_dsa(snapshot: Path) -> bool:
    """Whether the snapshot's tree is of family C; this process then drives that."""
    found = (snapshot / (BACKEND.replace(".", "/") + ".py")).is_file()
    _RUNTIME["dsa"] = found
    _RUNTIME["tails"] = tails.left(snapshot)
    return found


def is_dsa_here() -> bool:
    """What `is_dsa` found for this process's tree."""
    return bool(_RUNTIME.get("dsa"))


def leaves_tails() -> bool:
    """Whether this tree's kernels leave a table's columns past a row's length as they are.

    From 0.5.17 on: a program returns early, before it writes anything.
    """
    return bool(_RUNTIME.get("tails"))


def settle(scenario: Scenario) -> None:
    """Answer the getters for this scenario, as `server_args` does up to 0.5.16."""
    speculative = scenario.driver != "plain"
    kernels = {
        "dsa_prefill_backend": scenario.prefill,
        "dsa_decode_backend": scenario.impl,
        "dsa_topk_backend": "sgl-kernel",
        "dsa_triton_union": 1,
    }
    spec = {
        "speculative_eagle_topk": 1 if speculative else None,
        "speculative_num_steps": scenario.steps if speculative else None,
        "speculative_num_draft_tokens": scenario.draft if speculative else None,
        "speculative_dsa_topk_backend": "sgl-kernel",
        "speculative_use_rejection_sampling": False,
    }
    _RUNTIME.update(
        get_exec=Record(
            kernel=Record(**kernels),
            deterministic=Record(enable_deterministic_inference=False),
            features=Record(enable_memory_saver=False),
            graph=Record(
                disable_cuda_graph_padding=False, enable_profile_cuda_graph=False
            ),
            overlap=Record(enable_two_batch_overlap=False),
            mamba=Record(enable_mamba_extra_buffer=False),
        ),
        get_spec=Record(**spec),
    )


def server_args(scenario: Scenario) -> dict[str, Any]:
    """The same answers by their names in `server_args`."""
    settle(scenario)
    return {**vars(_RUNTIME["get_exec"].kernel), **vars(_RUNTIME["get_spec"])}


def asked(name: str) -> Callable[..., Any]:
    """A getter, as the release has it: what it answers is settled later."""
    return lambda *args, **kwargs: _RUNTIME.get(name, Record())


@standins.heard
def plan_topk_v2(
    seq_lens: torch.Tensor, *args: Any, out: torch.Tensor | None = None
) -> torch.Tensor:
    """[rows + 1, 2] int32: row 0 the bound and how many rows follow, each (row, length).

    A stand-in of the real one's shape and rule, with shorter lengths. Nothing is asked of
    the host and nothing copied from it, so that a graph can record it.
    """
    rows = seq_lens.shape[0]
    plan = seq_lens.new_empty(rows + 1, 2) if out is None else out
    if rows not in PLANNED_ROWS:
        return plan
    with standins.unguarded():
        _plan(seq_lens.reshape(-1), plan)
    return plan


def _plan(lengths: torch.Tensor, plan: torch.Tensor) -> None:
    bound = torch.full_like(lengths[:1], PLAN_LIMITS[-1][0])
    fits = torch.ones_like(bound, dtype=torch.bool)
    for length, most in reversed(PLAN_LIMITS[:-1]):
        fits &= (lengths > length).sum() <= most
        bound.masked_fill_(fits, length)
    long = lengths > bound
    place = torch.cumsum(long, 0) * long
    entries = torch.stack(
        [torch.arange(len(lengths), device=lengths.device), lengths], 1
    )
    plan[0, :1].copy_(bound)
    plan[0, 1:].copy_(long.sum().reshape(1))
    # Rows that are not planned go to row 0 of a copy, which is dropped.
    packed = plan.index_copy(0, place, entries.to(plan.dtype))
    plan[1:].copy_(packed[1:])


def modules() -> dict[str, ModuleType]:
    """Stand-in modules of this family by import name."""
    copies = {
        "fused_metadata_copy_cuda": plain_copies.one,
        "fused_metadata_copy_multi_cuda": plain_copies.three,
    }
    kernels = "sglang.kernels.ops.attention"
    found = {
        name: standins.module(name, plan_topk_v2=plan_topk_v2)
        for name in ("sglang.jit_kernel.dsv4.topk", f"{kernels}.dsv4.topk")
    }
    for name in (
        f"{kernels}.fused_metadata_copy",
        f"{kernels}.dsa.fused_metadata_copy",
    ):
        found[name] = standins.module(name, **copies)
    found[INTERFACE] = standins.module(
        INTERFACE, get_mla_metadata=standins.get_mla_metadata
    )
    return found


def through(
    modules: dict[str, ModuleType], kernels: dict[str, ModuleType | str]
) -> None:
    """Let the tree's own module speak to FlashMLA where its package is a real one.

    Where only the package that came before it is, that one answers the same call.
    """
    before = kernels.get("sgl_kernel.flash_mla")
    if isinstance(kernels.get("flash_mla"), ModuleType):
        modules.pop(INTERFACE, None)
    elif isinstance(before, ModuleType):
        kernels[INTERFACE] = standins.module(
            INTERFACE, get_mla_metadata=before.get_mla_metadata
        )


def inner_view(batch: Any, *, bs: int, forward_mode: Any, **more: Any) -> Any:
    """What `build_inner_fb_view` makes: the batch with another mode."""
    return Record(**{**vars(batch), "batch_size": bs, "forward_mode": forward_mode})
