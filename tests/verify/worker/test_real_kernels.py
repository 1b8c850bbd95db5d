"""Kernel packages that are installed go before their stand-ins, one by one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from verify.worker.tree import family, standins
from verify.worker.tree.isolate import Isolated

ELSEWHERE = "meta"  # a device that is there and is no CPU
PLAN = """
import torch
def {name}(lengths, *args, **more):
    return torch.full((4, 8), 7, dtype=torch.int32, device=lengths.device), lengths
"""
SCHEDULE = """
def get_num_sms():
    return 132
def get_paged_mqa_logits_metadata(lengths, block, sms):
    if lengths.dim() != {dimensions}:
        raise RuntimeError("lengths")
    from deep_gemm.late import VALUE
    return VALUE
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to install packages in; what was imported of them goes again."""
    tops = ("deep_gemm", "sgl_kernel", "flash_mla")
    before = dict(sys.modules)
    for name in [n for n in before if n.partition(".")[0] in tops]:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    yield tmp_path
    sys.meta_path[:] = finders
    for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
        del sys.modules[name]
    sys.modules.update({n: m for n, m in before.items() if n not in sys.modules})


def backend(tmp_path: Path, dimensions: int) -> None:
    """A tree that gives DeepGEMM lengths of so many dimensions."""
    name = "dsa_backend" if dimensions == 2 else "nsa_backend"
    file = tmp_path / "snapshot/sglang/srt/layers/attention" / f"{name}.py"
    file.parent.mkdir(parents=True)
    file.write_text("def _to_2d_context_lens(lens, bs): ...\n" * (dimensions - 1))


def install(package: Path, **modules: str) -> None:
    package.mkdir()
    for name, text in {"__init__": "", **modules}.items():
        (package / f"{name}.py").write_text(text)


def isolated(tmp_path: Path) -> Isolated:
    snapshot = tmp_path / "snapshot"
    finder = Isolated(snapshot, standins.modules(), {})
    finder.kernels = standins.importable(ELSEWHERE, snapshot)
    finder.install()
    return finder


def test_on_a_cpu_none_is_real(tmp_path: Path) -> None:
    assert standins.importable("cpu", tmp_path) == {}


def test_what_is_not_installed_is_not_mentioned(site: Path) -> None:
    assert standins.importable(ELSEWHERE, site) == {}


def test_one_that_is_there_and_breaks_says_why(site: Path) -> None:
    (site / "deep_gemm.py").write_text("raise OSError('libcudart.so.12')\n")
    (site / "flash_mla.py").write_text(
        "def get_mla_decoding_metadata(*a, **k): raise RuntimeError('no kernel image')"
    )
    assert standins.importable(ELSEWHERE, site) == {
        "deep_gemm": "installed, but OSError: libcudart.so.12",
        "flash_mla": "installed, but RuntimeError: no kernel image",
    }


@pytest.mark.parametrize("dimensions", [1, 2])
def test_one_goes_before_its_stand_in(
    site: Path, tmp_path: Path, dimensions: int
) -> None:
    install(
        site / "deep_gemm",
        __init__=SCHEDULE.format(dimensions=dimensions),
        late="VALUE = 3",
        later="VALUE = 4",
    )
    backend(tmp_path, dimensions)
    finder = isolated(tmp_path)
    schedule = importlib.import_module("deep_gemm").get_paged_mqa_logits_metadata
    assert schedule(torch.ones([1] * dimensions), 64, 132) == 3
    assert importlib.import_module("deep_gemm.later").VALUE == 4
    plan = importlib.import_module("sgl_kernel.flash_mla").get_mla_metadata
    assert plan is standins.get_mla_metadata
    assert (finder.asked, finder.stood_in) == (["deep_gemm"], ["sgl_kernel.flash_mla"])


@pytest.mark.parametrize("dimensions", [1, 2])
def test_one_of_another_release_gives_way_to_its_stand_in(
    site: Path, tmp_path: Path, dimensions: int
) -> None:
    install(
        site / "deep_gemm",
        __init__=SCHEDULE.format(dimensions=3 - dimensions),
        late="VALUE = 3",
    )
    backend(tmp_path, dimensions)
    finder = isolated(tmp_path)
    schedule = importlib.import_module("deep_gemm").get_paged_mqa_logits_metadata
    assert schedule is standins.get_paged_mqa_logits_metadata
    assert finder.kernels == {"deep_gemm": "installed, but RuntimeError: lengths"}


def test_what_lies_around_a_kernel_stays_a_placeholder(
    site: Path, tmp_path: Path
) -> None:
    install(
        site / "sgl_kernel",
        flash_mla=PLAN.format(name="get_mla_metadata"),
        fast="VALUE = 5",
    )
    finder = isolated(tmp_path)
    assert "placeholder" in repr(importlib.import_module("sgl_kernel").topk)
    assert "placeholder" in repr(importlib.import_module("sgl_kernel.fast").VALUE)
    plan = importlib.import_module("sgl_kernel.flash_mla").get_mla_metadata
    parts, splits = plan(torch.ones(2))
    assert parts.tolist() == [[7, 7, 7, 7, 7, 0, 0, 0]] * 4
    assert splits.tolist() == [1, 1]
    assert finder.asked == ["sgl_kernel.flash_mla"]


def test_the_tree_s_own_interface_speaks_to_a_real_package() -> None:
    modules, package = family.modules(), ModuleType("flash_mla")
    family.through(modules, {"flash_mla": package})
    assert family.INTERFACE not in modules


def test_the_package_before_it_answers_where_only_that_is_real() -> None:
    modules, package = family.modules(), ModuleType("sgl_kernel.flash_mla")
    vars(package)["get_mla_metadata"] = len
    kernels: dict[str, ModuleType | str] = {
        "sgl_kernel.flash_mla": package,
        "flash_mla": "installed, but OSError: undefined symbol",
    }
    family.through(modules, kernels)
    interface = kernels[family.INTERFACE]
    assert isinstance(interface, ModuleType)
    assert interface.get_mla_metadata is len


def test_without_either_the_stand_in_stays() -> None:
    modules = family.modules()
    kernels: dict[str, ModuleType | str] = {"flash_mla": "installed, but broken"}
    family.through(modules, kernels)
    assert set(kernels) == {"flash_mla"}
    plan = modules[family.INTERFACE].get_mla_metadata
    assert plan is standins.get_mla_metadata
