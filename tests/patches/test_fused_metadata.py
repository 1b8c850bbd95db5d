"""The launcher: one decision a kernel, one line of log, and the gate."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.patches.kernels import created_files, load

NSA = "sglang.srt.layers.attention.nsa"


class Gate:
    on = True

    def get(self) -> bool:
        return self.on


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def launcher(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> Iterator[SimpleNamespace]:
    """`fused_metadata.py` between a stub gate and a kernel module that takes notes."""
    gate = Gate()
    environ = ModuleType("sglang.srt.environ")
    environ.envs = SimpleNamespace(SGLANG_NSA_USE_TRITON_METADATA=gate)  # type: ignore[attr-defined]

    def good(**kwargs: Any) -> None:
        calls.append("good")

    def bad(**kwargs: Any) -> None:
        calls.append("bad")
        raise RuntimeError("no compiler here")

    kernels = ModuleType(f"{NSA}.triton_metadata_kernel")
    kernels.good, kernels.bad = good, bad  # type: ignore[attr-defined]
    package = ModuleType(NSA)
    package.triton_metadata_kernel = kernels  # type: ignore[attr-defined]
    for name, module in {
        "sglang.srt.environ": environ,
        NSA: package,
        kernels.__name__: kernels,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    text = created_files()["sglang/srt/layers/attention/nsa/fused_metadata.py"]
    module = load("fused_metadata", text)
    yield SimpleNamespace(run=module.run_fused_metadata, gate=gate, package=package)
    del sys.modules["fused_metadata"]


def test_runs_the_kernel(launcher: SimpleNamespace, calls: list[str]) -> None:
    assert launcher.run("good", x=1)
    assert calls == ["good"]


def test_gate_off_runs_nothing_and_is_read_once(
    launcher: SimpleNamespace, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    launcher.gate.on = False
    assert not launcher.run("good")
    launcher.gate.on = True
    assert not launcher.run("good")
    assert calls == []
    assert [r.getMessage() for r in caplog.records] == [
        "NSA metadata kernel good is switched off"
    ]


def test_a_failing_kernel_is_tried_and_logged_once(
    launcher: SimpleNamespace, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert [launcher.run("bad") for _ in range(3)] == [False, False, False]
    assert calls == ["bad"]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "no compiler here" in caplog.text


def test_one_failing_kernel_leaves_the_others(launcher: SimpleNamespace) -> None:
    assert not launcher.run("bad")
    assert launcher.run("good")


def test_missing_triton_is_a_failure_like_any_other(
    launcher: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(launcher.package, "triton_metadata_kernel")
    monkeypatch.setitem(sys.modules, f"{NSA}.triton_metadata_kernel", None)
    assert not launcher.run("good")
    assert len(caplog.records) == 1
