"""When the draft steps may share one set of buffers; no tree builds the other cases."""

from __future__ import annotations

import ast
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from patches.in_graph.recipe import PAYLOAD

GATES = ("SGLANG_NSA_METADATA_IN_GRAPH", "SGLANG_NSA_USE_TRITON_METADATA")
AGREE = (
    "req_to_token",
    "real_page_size",
    "nsa_index_topk",
    "max_context_len",
    "num_q_heads",
    "nsa_decode_impl",
)


class Backend:
    def __init__(self, step: int, **settings: Any) -> None:
        self.speculative_step_id = step
        vars(self).update(settings)

    def replay(self) -> Any:
        return vars(self)


class ReadsStep(Backend):
    def replay(self) -> int:
        return self.speculative_step_id


def can_share(backends: list[Any], kind: type = Backend, **off: bool) -> bool:
    """The payload's own `_can_share_metadata`, with `kind` for the tree's backend."""
    text = (PAYLOAD / "nsa_backend.py").read_text(encoding="utf-8")
    (method,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name == "_can_share_metadata"
    )
    gates = {
        name: SimpleNamespace(get=(lambda: False) if name in off else (lambda: True))
        for name in GATES
    }
    names: dict[str, Any] = {
        "envs": SimpleNamespace(**gates),
        "NativeSparseAttnBackend": kind,
    }
    exec(textwrap.dedent(ast.get_source_segment(text, method) or ""), names)
    shared: bool = names[method.name](SimpleNamespace(attn_backends=backends))
    return shared


def settings() -> dict[str, Any]:
    return {name: "fa3" if name == "nsa_decode_impl" else 64 for name in AGREE}


def test_steps_that_agree_share() -> None:
    assert can_share([Backend(step, **settings()) for step in range(4)])


@pytest.mark.parametrize("name", AGREE)
def test_steps_that_differ_do_not(name: str) -> None:
    backends = [Backend(step, **settings()) for step in range(4)]
    setattr(backends[-1], name, "other")
    assert not can_share(backends)


def test_a_pool_must_be_the_same_object() -> None:
    pools: list[list[int]] = [[1], [1]]
    backends = [
        Backend(step, **{**settings(), "req_to_token": pool})
        for step, pool in enumerate(pools)
    ]
    assert not can_share(backends)


def test_a_release_without_a_kernel_per_backend_shares() -> None:
    backends = [Backend(step, **settings()) for step in range(2)]
    for backend in backends:
        del backend.nsa_decode_impl
    assert can_share(backends)


def test_a_method_that_reads_the_step_ends_it() -> None:
    backends = [ReadsStep(step, **settings()) for step in range(2)]
    assert not can_share(backends, ReadsStep)


def test_a_subclass_may_do_anything() -> None:
    backends = [Backend(0, **settings()), ReadsStep(1, **settings())]
    assert not can_share(backends)


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_that_is_off_ends_it(gate: str) -> None:
    backends = [Backend(step, **settings()) for step in range(2)]
    assert not can_share(backends, **{gate: True})


def test_no_steps_share_nothing() -> None:
    assert not can_share([])
