"""The command: mistakes answered in a line, and one whole run on a CPU."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from patcher.checkout import checkout
from patcher.report import SCHEMA
from patcher.results import Refusal
from patches import commands
from verify.bench import bench as module
from verify.bench.report.model import BenchReport, read
from verify.cli import bench, verify
from verify.sides.process import _live

Command = Callable[[list[str]], int]

KERNELS = "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
TINY = (
    "--device", "cpu", "--rounds", "1", "--mode", "decode", "--steps", "2", "--bs", "2",
    "--len", "200", "--route", "fan-out,in-graph",
)  # fmt: skip


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("trees") / "sglang"
    try:
        checkout("0.5.6.post2", tree)
    except Refusal as refusal:
        pytest.skip(str(refusal))
    assert commands.apply([str(tree)]) == 0
    return tree


def error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "prefill"], "--mode: there is no mode 'prefill'"),
        (["--bs", "0"], "--bs: '0' is not a positive number"),
        (["--device", "tpu"], "--device: there is no device 'tpu'"),
        (["--decode-kernel", "fa4"], "no kernel 'fa4'\n  did you mean fa3?"),
        (["--rounds", "-1"], "--rounds: must be positive"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([str(tmp_path), *arguments]) == 2
    assert said in error(capsys)


def test_min_speedup_on_a_cpu_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([str(tmp_path), "--device", "cpu", "--min-speedup", "2"]) == 4
    assert "a CPU's times mean nothing" in error(capsys)


@pytest.mark.tree
def test_a_tree_without_patches_is_refused(
    applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "sglang"
    shutil.copytree(applied / "python/sglang", bare)
    assert commands.rollback([str(bare)]) == 0
    assert bench.main([str(bare), *TINY]) == 3
    assert "apply-nsa-opt first" in error(capsys)


@pytest.mark.tree
def test_an_unknown_route_is_a_usage_error(
    applied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([str(applied), "--device", "cpu", "--route", "fanout"]) == 2
    said = error(capsys)
    assert said == (
        "error: --route: there is no route 'fanout'\n  did you mean fan-out?\n"
    )


@pytest.mark.tree
def test_a_whole_run_on_a_cpu(
    applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    code = bench.main(
        [str(applied), *TINY, "--against", str(applied), "--json", str(file)]
    )
    found = read(file)
    assert code == found.exit_code == 0
    assert not found.machine.times_count
    (point,) = found.points
    assert [(r.side, r.status) for r in point.timings] == [
        ("original", "ok"), ("fan-out", "ok"), ("in-graph", "ok"), ("0.5.6.post2", "ok"),
    ]  # fmt: skip
    assert [r.destinations for r in point.timings] == [2, 1, 1, 1]
    said = capsys.readouterr()
    assert "its times mean nothing" in said.out
    assert "workers on a CPU: slow, and times mean nothing" in said.err


@pytest.mark.tree
def test_a_run_that_is_stopped_reports_the_points_that_it_timed(
    applied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    live = []

    class Stops(module.Progress):
        def step(self, done: int, at: str) -> None:
            if done == stops_at:
                live.extend(worker._process.pid for worker in _live if worker._process)
                raise KeyboardInterrupt
            super().step(done, at)

    monkeypatch.setattr(module, "Progress", Stops)
    folder = tmp_path / "out"
    line = [str(applied), *TINY, "--bs", "2,3", "--report", str(folder)]
    stops_at = 0
    assert bench.main(line) == 130
    assert error(capsys).endswith("interrupted: nothing was measured\n")
    stops_at = 1
    assert bench.main(line) == 130
    found = read(folder / "report.json")
    assert found.summary.startswith("incomplete, 1 of 2 points in ")
    assert found.exit_code == 130
    assert [t.status for point in found.points for t in point.timings] == ["ok"] * 3
    assert "Stopped: 1 of 2 points were timed" in (folder / "report.html").read_text()
    assert found.summary in capsys.readouterr().out
    assert live
    for pid in live:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.tree
def test_the_modes_of_one_backend_are_timed_too(
    applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modes = "--mode=target_verify,draft_extend"
    options = [
        "--bs=2",
        "--len=200",
        "--rounds=1",
        "--route=precomputed",
        modes,
        "--json=-",
    ]
    assert bench.main([str(applied), "--device=cpu", *options]) == 0
    out, err = capsys.readouterr()
    found = BenchReport.model_validate_json(out)
    assert [(p.mode, [t.status for t in p.timings]) for p in found.points] == [
        ("target_verify", ["ok", "ok"]), ("draft_extend", ["ok", "ok"]),
    ]  # fmt: skip
    assert "0.00 [0.00" not in err
    assert "target_verify" in err


@pytest.mark.tree
@pytest.mark.parametrize("main", [bench.main, verify.main])
def test_a_refusal_is_json_too_on_stdout(
    applied: Path, main: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [str(applied), "--device", "cpu", "--route", "fanout", "--json", "-"]
    assert main(line) == 2
    out, err = capsys.readouterr()
    said = json.loads(out)
    jsonschema.validate(said, json.loads(SCHEMA.read_text()))
    assert (said["result"], said["exit"]) == ("Refused", 2)
    assert said["reasons"][0]["hint"] == "did you mean fan-out?"
    assert "did you mean fan-out?" in err


@pytest.mark.tree
def test_a_kernel_that_writes_something_else_is_caught(
    applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "sglang"
    shutil.copytree(applied, tree)
    file = tree / "python" / KERNELS
    text = file.read_text()
    assert "nsa_index_topk)" in text
    file.write_text(text.replace("nsa_index_topk)", "nsa_index_topk - 1900)", 1))
    report = tmp_path / "report.json"
    assert bench.main([str(tree), *TINY, "--json", str(report)]) == 1
    results = json.loads(report.read_text())["points"][0]["timings"]
    assert {r["side"]: r["status"] for r in results} == {
        "original": "ok", "fan-out": "wrong", "in-graph": "wrong",
    }  # fmt: skip
    assert "nsa_cache_seqlens_int32" in capsys.readouterr().out
