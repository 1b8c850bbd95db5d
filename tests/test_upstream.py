"""The bug reports for upstream: reproducers and fixes hold on the release that they name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from patcher.tree.pins import pins
from patcher.tree.wheels import fetch

REPORTS = Path(__file__).parents[1] / "docs" / "upstream"
BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
MULTI = "DeepseekSparseAttnMultiStepBackend"
PLACE = "                    backend.forward_metadata = metadata\n"

pytestmark = pytest.mark.tree


def block(report: str, language: str) -> str:
    """The one code block of this language."""
    text = (REPORTS / f"{report}.md").read_text()
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def backend() -> str:
    """0.5.23's backend."""
    wheel = fetch(pins()["0.5.23"], lambda line: None)
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(BACKEND).decode()


def fixed(report: str, backend: str, folder: Path) -> str:
    """The backend with the report's diff in it."""
    file = folder / "python" / BACKEND
    file.parent.mkdir(parents=True)
    file.write_text(backend)
    (folder / "fix.diff").write_text(block(report, "diff"))
    apply = ["git", "apply", "--unidiff-zero", "fix.diff"]
    subprocess.run(apply, cwd=folder, check=True)
    return file.read_text()


class Event:
    """Stands for a CUDA event."""

    def __init__(self, **options: object) -> None:
        pass

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: object) -> float:
        return 1.0


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a reproducer see `text` as the backend, and stand-ins for the kernels."""
    monkeypatch.setattr(torch.cuda, "Event", Event)

    def stub(name: str, **answers: object) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(answers, __path__=[])
        monkeypatch.setitem(sys.modules, name, made)
        parent, _, last = name.rpartition(".")
        if parent:
            if parent not in sys.modules:
                stub(parent)
            setattr(sys.modules[parent], last, made)
        return made

    def transform(
        scores: Any, lens: Any, table: Any, out: Any, page: int, plan: Any
    ) -> None:
        for row in range(len(lens)):
            at = out[row].long()
            if plan[row] > 64:
                at = scores[row].topk(out.shape[1]).indices
            out[row] = (table[row, at // page] * page + at % page).int()

    def put(text: str) -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] == "sglang"]:
            monkeypatch.delitem(sys.modules, name)
        stub(
            "deep_gemm",
            get_paged_mqa_logits_metadata=lambda *given: None,
            get_num_sms=lambda: 1,
            fp8_paged_mqa_logits=lambda *given: None,
        )
        stub(
            "sglang.kernels.ops.attention.dsv4.topk",
            plan_topk_v2=lambda lens: lens,
            topk_transform_paged_v2=transform,
        )
        stub(
            "sglang.kernels.ops.attention.dsa.fused_metadata_copy",
            fused_metadata_copy_multi_cuda=None,
        )
        stub("sglang.srt.model_executor.forward_batch_info", build_inner_fb_view=None)
        module = stub("sglang.srt.layers.attention.dsa_backend")
        module.__dict__.update(
            is_cuda=lambda: True,
            _to_2d_context_lens=lambda lens, bs: lens,
            ForwardMode=type("ForwardMode", (), {"DECODE": 1}),
        )
        future = ast.parse("from __future__ import annotations").body
        body = [n for n in ast.parse(text).body if getattr(n, "name", "") == MULTI]
        exec(compile(ast.Module([*future, *body], []), BACKEND, "exec"), vars(module))

    return put


def output(report: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the reproducer prints, on the CPU and with small sizes."""
    code = block(report, "python").replace('"cuda"', '"cpu"')
    code = code.replace("bs, length = 64, 131072", "bs, length = 3, 4096")
    exec(compile(code, f"{report}.md", "exec"), {"__name__": "reproducer"})
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("report", ["schedule", "plan"])
def test_the_reproducer_is_short(report: str) -> None:
    lines = [line for line in block(report, "python").splitlines() if line.strip()]
    assert len(lines) < 40
    assert "nsa-opt" not in block(report, "python")


@pytest.mark.parametrize("report", ["schedule", "plan"])
def test_the_reproducer_shows_it(
    report: str, backend: str, environment: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(backend)
    shown = output(report, capsys)
    left = [f"backend {i}: {report} left as captured" for i in range(3)]
    assert shown[:4] == [*left, f"backend 3: {report} refreshed"]
    if report == "plan":
        assert shown[4:] == [
            "plan of this batch: 0 of 3 rows wrong",
            "plan of the capture: 3 of 3 rows wrong",
        ]


@pytest.mark.parametrize("report", ["schedule", "plan"])
def test_the_fix_fixes_it_and_holds_none_of_upstreams_lines(
    report: str,
    backend: str,
    environment: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = fixed(report, backend, tmp_path)
    lines = [line for line in block(report, "diff").splitlines() if line[0] in " -"]
    assert lines == [f"--- a/python/{BACKEND}"]
    before, _, after = text.partition(PLACE)
    assert after.startswith("                    if is_cuda():\n")
    assert before.count("fused_metadata_copy_multi_cuda(") == 1
    environment(text)
    assert output(report, capsys)[:4] == [
        f"backend {i}: {report} refreshed" for i in range(4)
    ]
