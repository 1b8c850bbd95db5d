"""Whether a tree of family C writes its tables to the end, told from its kernels' text.

The parent asks too, to say which contract holds; so this needs the standard library alone.
"""

from __future__ import annotations

import ast
from pathlib import Path

GENERATION = (
    "sglang/srt/layers/attention/triton_ops/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa/metadata.py",
)
"""The module that generates metadata in Triton, from 0.5.15 on."""

LIVE = (
    "contract live: page_table_1[r, :length] and real_page_table[r, :ceil(length / page)],"
    " which is all that a consumer reads; this release leaves the rest as it was",
    "contract live: topk_v2_plan is row 0 and a set of rows, and nothing at 30 rows and "
    "fewer; all other buffers exact",
)
NOT_COVERED = (
    "draft_extend: this family has one way to compute it, and nothing to compare it with",
    "k-pool (index_kpool > 1) and HiSparse",
)


def left(snapshot: Path) -> bool:
    """Whether columns past a row's length are left as they are: from 0.5.17 on.

    A kernel's program returns there before it writes anything.
    """
    return any(_returns_early(snapshot / file) for file in GENERATION)


def contract(snapshot: Path) -> tuple[str, ...]:
    """What is compared of a tree of family C, where that is not every byte."""
    return LIVE if left(snapshot) else LIVE[1:]


def _returns_early(file: Path) -> bool:
    tree = ast.parse(file.read_bytes()) if file.is_file() else ast.Module([], [])
    return any(
        isinstance(node, ast.If)
        and len(node.body) == 1
        and isinstance(node.body[0], ast.Return)
        and node.body[0].value is None
        for kernel in tree.body
        if isinstance(kernel, ast.FunctionDef) and kernel.name.endswith("_kernel")
        for node in ast.walk(kernel)
    )
