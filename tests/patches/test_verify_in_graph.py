"""Where target_verify's graph fills its own metadata, and where it must not."""

from __future__ import annotations

import ast
import os
from types import SimpleNamespace
from typing import Any

import pytest

from patcher.plan.edits import files_of, plan
from patcher.tree.pins import pins
from patches import HERE, all_patches
from patches.shared.anchors import DSA_BACKEND
from patches.verify_in_graph.about import ABOUT
from tests.mutants.trees import trees
from tests.patcher.releases import one_of_each

PAYLOAD = HERE / "verify_in_graph" / "payload" / "dsa_backend.py"
PATCH = next(patch for patch in all_patches() if patch.name == ABOUT.name)
FITS = [r for r, p in pins().items() if p.family == "C" and r not in ABOUT.unfit]
SOME = FITS if os.environ.get("ALL_RELEASES") else sorted({*one_of_each()} & {*FITS})
HOOK = "init_forward_metadata_in_graph"
OUT_GRAPH = "init_forward_metadata_out_graph"
EVENTS = "sglang.srt.model_executor.runner_utils.shared_read_event"


class Mode:
    """A forward mode."""

    def __init__(self, *, verify: bool = True) -> None:
        self.verify = verify

    def is_target_verify(self) -> bool:
        return self.verify


class Backend:
    """What the payload asks of its backend; notes what is called."""

    def __init__(self, **other: Any) -> None:
        self.hisparse_coordinator: Any = None
        self.dsa_index_kpool = 1
        self.verify_in_graph_bs: set[int] = set()
        self.decode_cuda_graph_metadata = {4: "of 4", 8: "of 8"}
        self.forward_metadata = "of a batch before"
        self.calls: list[Any] = []
        vars(self).update(other)

    def _apply_cuda_graph_metadata(self, **given: Any) -> None:
        self.calls.append(given)

    def set_dsa_prefill_impl(self, forward_batch: Any) -> None:
        self.calls.append("decided")


def batch(bs: int = 8, *, eagle: bool = True, **other: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "batch_size": bs,
            "forward_mode": Mode(),
            "spec_algorithm": SimpleNamespace(is_eagle=lambda: eagle),
            "spec_info": None,
            "seq_lens": "lengths",
            "req_pool_indices": "rows",
            "tbo_children": None,
            "tbo_parent_token_range": None,
            **other,
        }
    )


class Envs:
    """sglang's environment variables; those named are set."""

    def __init__(self, *found: str) -> None:
        self.found = found

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(get=lambda: name in self.found)


@pytest.fixture
def payload(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The payload's methods by name, with what they ask of sglang."""
    monkeypatch.setitem(
        __import__("sys").modules,
        EVENTS,
        SimpleNamespace(make_external_event=lambda module: "an event"),
    )
    names: dict[str, Any] = {
        "ForwardBatch": SimpleNamespace,
        "DSA_VERIFY_METADATA_IN_GRAPH": True,
        "is_cuda": lambda: True,
        "envs": Envs(),
        "torch": SimpleNamespace(cuda=None),
        "said": [],
    }
    names["log_metadata_route"] = names["said"].append
    for cls in ast.parse(PAYLOAD.read_text()).body:
        if isinstance(cls, ast.ClassDef):
            methods = [n for n in cls.body if isinstance(n, ast.FunctionDef)]
            exec(compile(ast.Module([*methods], []), str(PAYLOAD), "exec"), names)
    setattr(Backend, "_can_verify_in_graph", names["_can_verify_in_graph"])  # noqa: B010
    return names


def test_the_graph_does_what_the_replay_does(payload: dict[str, Any]) -> None:
    backend = Backend()
    given = batch()
    payload[HOOK](backend, given)
    (call,) = backend.calls
    assert call == {
        "bs": 8,
        "req_pool_indices": "rows",
        "seq_lens": "lengths",
        "seq_lens_cpu": None,
        "forward_mode": given.forward_mode,
        "spec_info": None,
    }
    assert backend.verify_in_graph_bs == {8}
    assert payload["said"] == ["verify-in-graph"]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "another algorithm": ({}, {"eagle": False}, {}),
    "two batches that overlap": ({}, {"tbo_children": [1, 2]}, {}),
    "one of two batches": ({}, {"tbo_parent_token_range": (0, 8)}, {}),
    "HiSparse": ({"hisparse_coordinator": object()}, {}, {}),
    "k-pool": ({"dsa_index_kpool": 4}, {}, {}),
    "no CUDA": ({}, {}, {"is_cuda": lambda: False}),
    "a plan stream": ({}, {}, {"envs": Envs("SGLANG_ENABLE_OVERLAP_PLAN_STREAM")}),
    "upstream's graph": ({}, {}, {"envs": Envs("SGLANG_ENABLE_METADATA_GLUE_GRAPH")}),
    "gate off": ({}, {}, {"DSA_VERIFY_METADATA_IN_GRAPH": False}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_where_it_is_not_filled(why: str, payload: dict[str, Any]) -> None:
    """And a size that was filled before it was captured again is prepared as before."""
    of_backend, of_batch, names = REFUSED[why]
    backend = Backend(verify_in_graph_bs={4, 8}, **of_backend)
    payload.update(names)
    payload[HOOK](backend, batch(**of_batch))
    assert backend.calls == payload["said"] == []
    assert backend.verify_in_graph_bs == {4}


def test_without_external_events_nothing_tells_when_the_graph_has_read(
    payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    none = SimpleNamespace(make_external_event=lambda module: None)
    monkeypatch.setitem(__import__("sys").modules, EVENTS, none)
    backend = Backend()
    payload[HOOK](backend, batch())
    assert backend.calls == []


def test_other_modes_are_left_alone(payload: dict[str, Any]) -> None:
    backend = Backend(verify_in_graph_bs={8})
    other = batch(forward_mode=Mode(verify=False))
    payload[HOOK](backend, other)
    payload[OUT_GRAPH](backend, other)
    assert backend.calls == []
    assert backend.verify_in_graph_bs == {8}
    assert backend.forward_metadata == "of a batch before"


def test_the_replay_sets_what_python_holds(payload: dict[str, Any]) -> None:
    backend = Backend(verify_in_graph_bs={8})
    payload[OUT_GRAPH](backend, batch())
    assert backend.calls == ["decided"]
    assert backend.forward_metadata == "of 8"


def test_a_size_whose_graph_does_not_fill_is_prepared(payload: dict[str, Any]) -> None:
    """As is any while it is captured: what stands behind the payload runs."""
    backend = Backend(verify_in_graph_bs={8})
    payload[OUT_GRAPH](backend, batch(4))
    payload[OUT_GRAPH](backend, batch(), in_capture=True)
    assert backend.calls == []
    assert backend.forward_metadata == "of a batch before"


@pytest.mark.tree
@pytest.mark.parametrize("release", SOME)
def test_what_a_release_can_be_asked(release: str) -> None:
    """Each asks only for what it has, and for all of that."""
    files, _ = trees(release)
    found = {rel: files.read(rel) for rel in files_of([PATCH])}
    originals = {rel: data for rel, data in found.items() if data is not None}
    planned = plan(originals, [PATCH])
    assert not planned.conflicts
    text = planned.edits[DSA_BACKEND].decode()
    environ = originals["sglang/srt/environ.py"].decode()
    event = files.read("sglang/srt/model_executor/runner_utils/shared_read_event.py")
    for asked, there in {
        "can_verify &= self.dsa_index_kpool <= 1": "self.dsa_index_kpool = " in text,
        "not envs.SGLANG_ENABLE_OVERLAP_PLAN_STREAM.get()": True,
        "not envs.SGLANG_ENABLE_METADATA_GLUE_GRAPH.get()": (
            "SGLANG_ENABLE_METADATA_GLUE_GRAPH" in environ
        ),
        "make_external_event(torch.cuda) is not None": event is not None,
    }.items():
        assert (asked in text) == there, asked
