"""An engine's report, made up, so that table and page have something to show."""

from __future__ import annotations

from patcher.results import SCHEMA_VERSION
from verify.bench.report.model import Estimate
from verify.engine.report.model import (
    CellReport,
    EngineReport,
    Host,
    Result,
    Start,
)


def _result(side: str, ms: float, status: str = "identical") -> Result:
    same = status == "identical"
    ratio = None if side == "original" else Estimate(value=1.46, low=1.4, high=1.5)
    return Result(
        side=side, status=status, asked=4,  # type: ignore[arg-type]
        differences=[] if same else ["request 0: token 7 is 12, was 11"],
        verify_steps=43, tokens_a_step=2.98, accepted=[3, 10, 20, 10],
        readings=[[ms]], gpu_ms=None, step_ms=Estimate(value=ms, low=ms - 0.1, high=ms + 0.1),
        ratio=ratio if same else None, verdict="FASTER" if same and ratio else None,
    )  # fmt: skip


def report(status: str = "identical") -> EngineReport:
    """Original and patched at one long prompt; status: how patched went."""
    code = 0 if status == "identical" else 1
    results = [_result("original", 5.51), _result("patched", 3.78, status)]
    return EngineReport(
        schema_version=SCHEMA_VERSION, tool="nsa-opt 0.1.0",
        command="bench-nsa-opt tree --engine tiny --steps 4 --prompt 120k",
        started="2026-01-01T00:00:00+00:00", seconds=321.0, seed=0, exit_code=code,
        summary="1 cells, 4 starts in 321 s: tokens identical in 1 of 1; 1 FASTER",
        machine=Host(
            gpu="NVIDIA H200", python="3.12.3", torch="2.11.0", sglang="0.5.15.post1"
        ),
        tree="/srv/sglang", commit="c0ffee", release="0.5.15.post1",
        patches=["fresh-plans 1"], beside=False, gates={"original": {}, "patched": {"GATE": None}},
        model="tiny", new_tokens=128, engine_args={"speculative_eagle_topk": 1},
        cells=[
            CellReport(
                steps=4, prompt=120_000, bs=1, load=0, ids_sha256="0" * 64, results=results
            )
        ],
        soaks=[],
        starts=[
            Start(steps=4, side=name, seconds=80.0, logged=[], routes=[], failed="", no_memory=False)
            for name in ("original", "patched", "patched", "original")
        ],
        notes=[],
    )  # fmt: skip
