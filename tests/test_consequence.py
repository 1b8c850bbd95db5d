"""`ci/consequence` with kernels that take the plan at its word, on the release's own replay."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

CI = Path(__file__).parents[1] / "ci"
LONG = 65536

pytestmark = pytest.mark.tree


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both trees, as `pack` writes them; no wheels."""
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CI)
        patch.delitem(sys.modules, "consequence", raising=False)
        script = importlib.import_module("consequence")
        patch.setattr(script.subprocess, "run", lambda *args, **kw: None)
        script.pack(folder)
    return folder


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both scripts, with small points, and stand-ins for the kernels they ask for."""
    monkeypatch.syspath_prepend(CI)
    for name in list(sys.modules):
        if name == "sglang" or name.startswith(("sglang.", "consequence")):
            monkeypatch.delitem(sys.modules, name)
    replay = importlib.import_module("consequence_replay")
    side = importlib.import_module("consequence_side")
    whole = importlib.import_module("consequence")

    def stub(name: str, **answers: object) -> None:
        made = ModuleType(name)
        made.__dict__.update(answers, __path__=[])
        monkeypatch.setitem(sys.modules, name, made)

    def schedule(lens: torch.Tensor, block: int, sms: int) -> torch.Tensor:
        return lens.sum().repeat(sms + 1, 2).int()

    def logits(q: Any, cache: Any, w: Any, lens: Any, *rest: Any, **kw: Any) -> Any:
        return torch.zeros(len(lens), rest[2])

    def plan(lens: torch.Tensor) -> torch.Tensor:
        return torch.cat([lens.new_tensor([0]), (lens > LONG).int()])

    def copied(*given: Any) -> None:
        for first in (8, 16, 24):
            for source, target in zip(given[:6], given[first:], strict=False):
                target.copy_(source)

    def transform(
        scores: Any, lens: Any, table: Any, out: Any, page: int, plan: Any
    ) -> None:
        for row, length in enumerate(lens.tolist()):
            at = out[row].long()
            if length <= LONG or plan[row + 1]:
                at = scores[row, :length].topk(out.shape[1]).indices
            out[row] = (table[row, at // page] * page + at % page).int()

    stub(
        "deep_gemm",
        get_paged_mqa_logits_metadata=schedule,
        get_num_sms=lambda: 4,
        fp8_paged_mqa_logits=logits,
    )
    for name in ("sglang", "sglang.srt", "sglang.kernels", "sglang.kernels.ops"):
        stub(name)
    stub("sglang.kernels.ops.attention")
    stub("sglang.kernels.ops.attention.dsv4")
    stub(
        "sglang.kernels.ops.attention.dsv4.topk",
        plan_topk_v2=plan,
        topk_transform_paged_v2=transform,
    )
    stub("sglang.kernels.ops.attention.dsa")
    stub(
        "sglang.kernels.ops.attention.dsa.fused_metadata_copy",
        fused_metadata_copy_multi_cuda=copied,
    )
    stub("sglang.srt.model_executor")
    stub("sglang.srt.model_executor.forward_batch_info", build_inner_fb_view=None)
    gate = type("Gate", (), {"get": lambda self: True})()
    stub(
        "sglang.srt.environ",
        envs=type("E", (), {"SGLANG_NSA_REFRESH_REPLAY_PLANS": gate}),
    )
    monkeypatch.setattr(side, "INDEXER", ((1, 256),))
    monkeypatch.setattr(side, "TOPK", ((2, LONG), (2, LONG + 64)))
    monkeypatch.setattr(side, "WIDTH", LONG + 64)
    monkeypatch.setattr(replay, "WIDTH", LONG + 64)
    monkeypatch.setattr(side, "_graph_us", lambda call: 1.0)
    return SimpleNamespace(tables=whole.tables, side=side.side)


def test_the_plan_is_wrong_before_and_right_after(script: Any, packed: Path) -> None:
    sides = {s: script.side(packed / s, "cpu") for s in ("before", "after")}
    wrong = {name: [row["wrong"] for row in one["topk"]] for name, one in sides.items()}
    assert wrong == {"before": [[0, 0], [2, 0]], "after": [[0, 0], [0, 0]]}
    assert [row["left"] for row in sides["before"]["topk"]] == [0, 4096]
    text = script.tables(sides)
    assert f"| 2 x {LONG + 64:,} | 2 of 2 | 0 of 2 | 0 of 2 | 4,096 of 4,096 |" in text


def test_a_replay_that_falls_back_is_no_result(
    script: Any, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = sys.modules["sglang.kernels.ops.attention.dsa.fused_metadata_copy"]
    monkeypatch.delattr(copy, "fused_metadata_copy_multi_cuda")
    with pytest.raises(RuntimeError, match="fell back"):
        script.side(packed / "before", "cpu")
