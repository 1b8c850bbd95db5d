"""A release's run-time compiled kernels: what is copied for them, and that they are used."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from verify.sides import kernels
from verify.worker.bench.kernels import copies, own
from verify.worker.tree.isolate import Isolated
from verify.worker.tree.plain_copies import one

HOME = "sglang/kernels/jit"
COPY = "sglang.kernels.ops.attention.dsa.fused_metadata_copy"
PLAN = "sglang.kernels.ops.attention.dsv4.topk"
TREE = {
    f"{HOME}/__init__.py": "",
    f"{HOME}/utils/__init__.py": "from sglang.kernels.jit.utils.load import load_jit\n",
    f"{HOME}/utils/load.py": "from sglang.srt.utils import is_cuda\nload_jit = 7\n",
    f"{HOME}/csrc/elementwise/copy.cuh": "#include <sgl_kernel/a.cuh>\n",
    f"{HOME}/csrc/other.cuh": "",
    f"{HOME}/include/sgl_kernel/a.cuh": '#include "b.h"\n#include <cuda.h>\n',
    f"{HOME}/include/sgl_kernel/b.h": "",
    f"{HOME}/include/sgl_kernel/c.h": "",
    "sglang/kernels/ops/attention/dsa/fused_metadata_copy.py": """
from sglang.kernels.jit.utils import load_jit
FILES = ["elementwise/copy.cuh"]
def later():
    from sglang.kernels.ops.attention.dsv4 import everything
MADE = []
def _jit_fused_metadata_copy_module(*what): MADE.append(what)
def _jit_fused_metadata_copy_multi_module(*what): MADE.append(what)
""",
    "sglang/kernels/ops/attention/dsv4/__init__.py": "raise RuntimeError\n",
    "sglang/kernels/ops/attention/dsv4/names.py": "NAME = 1\n",
    "sglang/kernels/ops/attention/dsv4/topk.py": """
from .names import NAME
PLANNED = []
def plan_topk_v2(seq_lens):
    PLANNED.append((_jit_topk_v2_module(512), seq_lens.tolist()))
def _jit_topk_v2_module(topk): raise RuntimeError("no compiler\\nhere")
""",
}  # fmt: skip


def read(rel: str) -> bytes | None:
    return TREE[rel].encode() if rel in TREE else None


def test_what_a_kernel_is_compiled_from_comes_along_and_nothing_else(
    tmp_path: Path,
) -> None:
    found = kernels.copy(read, tmp_path)
    left = {
        f"{HOME}/csrc/other.cuh",
        f"{HOME}/include/sgl_kernel/c.h",
        # Importing this package would import all the kernels there are.
        "sglang/kernels/ops/attention/dsv4/__init__.py",
    }
    assert set(TREE) - set(found) == left
    assert all((tmp_path / rel).read_bytes() == read(rel) for rel in found)


def test_a_release_without_such_kernels_has_nothing_copied(tmp_path: Path) -> None:
    assert kernels.copy(lambda rel: None, tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Isolated]:
    """First on the import path, with stand-ins for both."""
    kernels.copy(read, tmp_path)
    standins = {name: ModuleType(name) for name in (COPY, PLAN)}
    found = Isolated(tmp_path, standins, {})
    kept = {name: m for name, m in sys.modules.items() if name.startswith("sglang")}
    for name in kept:
        del sys.modules[name]
    monkeypatch.setattr(sys, "meta_path", [found, *sys.meta_path])
    monkeypatch.setattr(own, "_standins", {})
    there = importlib.machinery.ModuleSpec("tvm_ffi", None)
    monkeypatch.setattr(own.importlib.util, "find_spec", lambda name: there)
    yield found
    for name in [name for name in sys.modules if name.startswith("sglang")]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_what_compiles_is_used_and_what_does_not_is_said(finder: Isolated) -> None:
    plan = finder.standins[PLAN]
    own.use(finder, "cpu", "decode", "fa3")
    assert finder.kernels == {
        COPY: "real",
        PLAN: "does not compile: RuntimeError: no compiler",
    }
    assert finder.standins == {PLAN: plan}
    assert importlib.import_module(PLAN) is plan
    module = importlib.import_module(COPY)
    assert module.MADE == [(0, True, False), (True, False)]
    assert module.load_jit == 7


def test_another_mode_is_compiled_too(finder: Isolated) -> None:
    own.use(finder, "cpu", "decode", "fa3")
    own.use(finder, "cpu", "target_verify", "flashmla_kv")
    module = importlib.import_module(COPY)
    assert module.MADE[2:] == [(1, True, True)]


def test_the_plan_is_compiled_as_the_release_asks_for_it(finder: Isolated) -> None:
    """Up to 0.5.14 its module takes a number, later none: the plan itself knows."""
    planner = TREE["sglang/kernels/ops/attention/dsv4/topk.py"]
    works = planner.replace('raise RuntimeError("no compiler\\nhere")', "return topk")
    (finder.snapshot / "sglang/kernels/ops/attention/dsv4/topk.py").write_text(works)
    own.use(finder, "cpu", "decode", "fa3")
    assert finder.kernels[PLAN] == "real"
    assert importlib.import_module(PLAN).PLANNED == [(512, [1])]


def test_without_the_package_that_compiles_the_stand_ins_stay(
    finder: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own.importlib.util, "find_spec", lambda name: None)
    own.use(finder, "cpu", "decode", "fa3")
    assert (list(finder.standins), finder.kernels) == ([COPY, PLAN], {})


def test_a_stand_in_for_any_releases_copies_has_as_many_launches() -> None:
    standins = {name: ModuleType(name) for name in (COPY, PLAN)}
    vars(standins[COPY])["fused_metadata_copy_cuda"] = one
    copies.install(standins)
    assert vars(standins[COPY])["fused_metadata_copy_cuda"] is copies.one
    assert "fused_metadata_copy_cuda" not in vars(standins[PLAN])
