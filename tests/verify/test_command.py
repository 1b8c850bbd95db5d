"""The command line: mistakes are messages with the right exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patcher.results import Exit
from tests.verify.test_verdicts import DECODE
from verify import routes
from verify.cases import fuzz
from verify.cli import bench
from verify.cli import verify as command

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.tree
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--route", "sideways"], Exit.USAGE, "no route 'sideways'\n  there is: per-"),
        (["--route", "fanout"], Exit.USAGE, "did you mean fan-out?"),
        (["--scenario", "decode"], Exit.USAGE, "11 parts"),
        (
            ["--device", "tpu"],
            Exit.USAGE,
            "no device 'tpu'\n  did you mean cpu?",
        ),
        (["--runtime", "real"], Exit.USAGE, "no runtime 'real'"),
        (["--cases", "-1"], Exit.USAGE, "must not be negative"),
        (["--timeout", "0"], Exit.USAGE, "must be positive"),
        (["--baseline", "9.9.9"], Exit.USAGE, "neither a tree nor a pinned release"),
        (["--baseline", "intree"], Exit.USAGE, "did you mean in-tree?"),
        (["--devise", "cpu"], Exit.USAGE, "error: no such option: --devise\n  did you"),
        (
            ["--route", "original", "--scenario", DECODE],
            Exit.USAGE,
            "no chosen route runs a scenario of this mode",
        ),
        (["--device", "cpu", "--sanitize"], Exit.UNAVAILABLE, "needs a CUDA device"),
    ],
)
def test_a_mistake_is_a_message(
    applied: Path, run: Run, arguments: list[str], code: Exit, says: str
) -> None:
    got, out, err = run(applied, *arguments)
    assert (got, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_no_tree(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path)[0] == Exit.REFUSED
    assert run(tmp_path / "nothing")[0] == Exit.USAGE


@pytest.mark.tree
def test_a_route_that_the_tree_lacks(original: Path, run: Run) -> None:
    arguments = ("--baseline", "in-tree", "--route", "fan-out", "--device", "cpu")
    code, _, err = run(original, *arguments)
    assert code == Exit.REFUSED
    assert "has no route 'fan-out'" in err


def test_cuda_without_a_gpu(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verify.sides.probe.has_cuda", lambda python: False)
    code, _, err = run(tmp_path, "--device", "cuda")
    assert code == Exit.UNAVAILABLE
    assert "torch sees no CUDA device" in err


@pytest.mark.parametrize("main", [command.main, bench.main])
@pytest.mark.parametrize(
    ("has", "says"),
    [
        ("triton numpy", "has no torch"),
        ("torch triton", "has Triton and no numpy, which Triton's interpreter needs"),
    ],
)
def test_what_an_interpreter_lacks_is_said_first_and_once(
    main: Callable[[list[str]], int],
    has: str,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {has}\n")
    python.chmod(0o755)
    nowhere = str(tmp_path / "nowhere")
    assert main([nowhere, "--device", "cpu", "--python", str(python)]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert err.startswith(f"error: {python}: {says}")


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "0 identical, 1 not identical (or only the candidate crashes" in out


def test_a_patch_that_does_not_fit_a_release_is_said_in_words() -> None:
    said = (
        "draft-extend: not for 0.5.5: its draft_extend metadata has one row a request"
    )
    assert routes.unfit("0.5.5") == (said,)
    assert routes.unfit("0.5.6.post2") == ()


def test_every_gate_of_a_route_is_known() -> None:
    for route in routes.ROUTES:
        assert set(route.on) <= set(routes.GATES)
        assert set(route.env) == set(routes.GATES)


def test_evidence_against_a_route() -> None:
    fan_out = next(r for r in routes.ROUTES if r.name == "fan-out")
    assert "A" in fan_out.families
    kernel = "kernel _metadata_kernel"
    assert fan_out.missing("decode", {"replay": {kernel: 5, "begun": 5}}) == []
    assert fan_out.missing("decode", {"replay": {kernel: 4, "begun": 5}}) == [
        "4 replay kernel *_metadata_kernel* where 5 belong"
    ]
    fallback = {"replay": {"call _precompute_replay_metadata": 5}}
    assert fan_out.missing("decode", fallback) == [
        "no replay kernel *_metadata_kernel*",
        "unwanted: replay call _precompute_replay_metadata",
    ]


def test_a_release_s_own_way_out_is_none_of_any_route() -> None:
    counts = {"replay": {"fell back": 3, "call _precompute_replay_metadata": 3}}
    for family in ("B", "C"):
        found = routes.upstream(family, ["precompute"])
        route = next(r for r in found if r.name == "precomputed" and not r.pair)
        assert route.missing("decode", counts) == ["unwanted: replay fell back"]


@pytest.mark.tree
def test_drawn_scenarios_pass_on_a_right_tree(
    applied: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "cache_folder", lambda: tmp_path)
    code, out, _ = run(
        applied, "--device", "cpu", "--route", "original", "--cases", "6"
    )
    assert code == 0, out
    assert "6 drawn scenarios a route and mode instead" in out
    assert not (tmp_path / "failures").exists()


@pytest.mark.tree
def test_a_drawn_failure_shrinks_and_is_tried_first_next_time(
    copy: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.verify.test_verdicts import edit

    monkeypatch.setattr(fuzz, "cache_folder", lambda: tmp_path)
    edit(
        copy,
        "first_seqlens = cache_seqlens - (draft_tokens - 1)",
        "first_seqlens = cache_seqlens - (draft_tokens - 1) + (cache_seqlens > 60)",
    )
    arguments = (copy, "--device", "cpu", "--route", "precomputed", "--cases", "8")
    code, out, _ = run(*arguments)
    assert code == 1
    files = sorted((tmp_path / "failures").iterdir())
    texts = [file.read_text().strip() for file in files]
    assert len(texts) == 2, "the replay, and the precomputed pair"
    for text in texts:
        assert text.startswith("target_verify:n1:")
        assert "/" not in text, "one replay is enough"
    assert any(text in out for text in texts)
    code, out, _ = run(*arguments)
    assert code == 1
    assert any(text in out for text in texts)
    pair = next(
        row for row in out.splitlines() if "target_verify  precomputed (pair)" in row
    )
    assert pair.split()[3:5] == ["-", "1"], "the saved failure was tried first"
