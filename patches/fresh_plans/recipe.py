"""Refresh what DeepGEMM and top-k v2 plan from the lengths, in every draft step.

Source: what `verify-nsa-opt --baseline in-tree` found; see docs/upstream.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import (
    Choose,
    Drop,
    HasGlobal,
    HasMethod,
    HasStatement,
    InsertBefore,
    Rename,
    RequireKnown,
    Where,
)
from patcher.steps.cst.workspace import Step
from patches import HERE
from patches.fresh_plans.about import ABOUT
from patches.shared.anchors import DSA_BACKEND, NSA_BACKEND, REPLAY, gate

PAYLOAD = HERE / "fresh_plans" / "payload"
COPY = f"{REPLAY}_from_precomputed"
OUT_GRAPH = "init_forward_metadata_out_graph"
NSA_MULTI = "NativeSparseAttnMultiStepBackend"
DSA_MULTI = "DeepseekSparseAttnMultiStepBackend"

CURRENT = "backend.forward_metadata = metadata"

# What follows the copy to the first three backends, in the branch of four and more steps.
THE_REST = f"""
for i in range(3, self.speculative_num_steps - 1):
    self.attn_backends[i].{COPY}(
        bs=bs, precomputed=precomputed, forward_mode=ForwardMode.DECODE
    )
"""


# DeepGEMM's schedule alone: there is no top-k plan up to 0.5.14.
LENGTHS = "precomputed.seqlens_expanded"


def schedule(file: str, function: str) -> InsertBefore:
    """The refresh before the rest of the multi-step replay."""
    return InsertBefore(
        file=file,
        function=function,
        anchor=THE_REST,
        payload=PAYLOAD / "nsa_backend.py",
        source=f"CopyThree.{REPLAY}",
        adapt=(
            Rename(
                old=LENGTHS,
                new=f"_to_2d_context_lens({LENGTHS}, bs)",
                when=HasGlobal("_to_2d_context_lens"),
            ),
            Drop(statement="import deep_gemm", when=HasGlobal("deep_gemm")),
        ),
    )


SCHEDULE_AND_PLAN = InsertBefore(
    file=DSA_BACKEND,
    function=f"{DSA_MULTI}.{OUT_GRAPH}",
    anchor=THE_REST,
    payload=PAYLOAD / "dsa_backend.py",
    source=f"CopyThree.{OUT_GRAPH}",
    # From 0.5.20 on upstream sets it.
    adapt=tuple(
        Drop(
            statement=f"self.attn_backends[{i}].forward_metadata = metadata{i}",
            when=HasStatement(f"{DSA_MULTI}.{OUT_GRAPH}", CURRENT),
        )
        for i in range(3)
    ),
)


FAMILY_B: tuple[Step, ...] = (
    gate(ABOUT.gate),
    RequireKnown(file=NSA_BACKEND, symbol=f"{NSA_MULTI}.{REPLAY}"),
    RequireKnown(file=NSA_BACKEND, symbol=f"NativeSparseAttnBackend.{COPY}"),
    # From 0.5.12 on the copy to one backend refreshes the schedule by itself.
    Where(
        InsertBefore(
            file=NSA_BACKEND,
            function=f"NativeSparseAttnBackend.{COPY}",
            anchor="self.forward_metadata = metadata",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"CopyOne.{COPY}",
        ),
        unless=HasGlobal("_to_2d_context_lens"),
    ),
    # From 0.5.9 on three backends are copied to at once.
    Where(
        schedule(NSA_BACKEND, f"{NSA_MULTI}.{REPLAY}"),
        when=HasStatement(
            f"{NSA_MULTI}.{REPLAY}",
            "metadata2 = self.attn_backends[2].decode_cuda_graph_metadata[bs]",
        ),
    ),
)

FAMILY_C: tuple[Step, ...] = (
    gate(ABOUT.gate, section="DSA Backend"),
    RequireKnown(file=DSA_BACKEND, symbol=f"{DSA_MULTI}.{OUT_GRAPH}"),
    *(
        RequireKnown(file=DSA_BACKEND, symbol=symbol, may_lack=True)
        for symbol in (
            "_to_2d_context_lens",
            "DeepseekSparseAttnBackend._refresh_paged_mqa_schedule_metadata",
            "DeepseekSparseAttnBackend._build_topk_v2_plan",
        )
    ),
    # From 0.5.15 on there are methods that refresh, and a top-k plan.
    Choose(
        file=DSA_BACKEND,
        when=HasMethod("DeepseekSparseAttnBackend", "_build_topk_v2_plan"),
        then=SCHEDULE_AND_PLAN,
        otherwise=schedule(DSA_BACKEND, f"{DSA_MULTI}.{OUT_GRAPH}"),
    ),
)

PATCH = Patch(
    about=ABOUT,
    steps=(
        *(Where(step, lacks=DSA_BACKEND) for step in FAMILY_B),
        *(Where(step, has=DSA_BACKEND) for step in FAMILY_C),
    ),
)
