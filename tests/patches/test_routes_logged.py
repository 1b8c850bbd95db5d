"""What a person greps a server's log for: one line for each way that is taken."""

from __future__ import annotations

import ast
import logging
import re
from functools import cache
from typing import Any

import pytest

from patches.shared.anchors import NSA_BACKEND
from tests.patches.test_budgets import PATCHES, planned

pytestmark = pytest.mark.tree

# By patch, each alone: the way it brings, and where it goes when that is closed.
ROUTES = {
    "precompute": {"precompute, {forward_mode.name}"},
    "fused-decode": {"fused-decode"},
    "target-verify": {"target-verify"},
    "draft-extend": {"draft-extend"},
    "fan-out": {"fan-out"},
    "in-graph": {"in-graph", "fan-out"},
}


def backend(*names: str) -> str:
    """The backend with these patches."""
    return planned(*names).edits[NSA_BACKEND].decode()


@pytest.mark.parametrize("name", PATCHES)
def test_every_patch_says_its_way(name: str) -> None:
    if name in ROUTES:
        said = re.findall(r'log_metadata_route\(f?"([^"]+)"\)', backend(name))
        assert set(said) == ROUTES[name]


def test_in_graph_is_told_apart_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    module = ast.parse(backend(*PATCHES))
    (function,) = (
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name == "log_metadata_route"
    )
    names: dict[str, Any] = {"cache": cache, "logging": logging}
    names["__name__"] = "nsa_backend"
    exec(compile(ast.Module([function], []), "backend", "exec"), names)
    for route in ("in-graph", "in-graph", "fan-out", "in-graph"):
        names["log_metadata_route"](route)
    assert [r.getMessage() for r in caplog.records] == [
        "NSA metadata route: in-graph",
        "NSA metadata route: fan-out",
    ]
