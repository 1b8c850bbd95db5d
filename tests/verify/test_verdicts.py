"""What the command says of real trees: right ones pass, wrong ones are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.record import load
from patcher.tree.find import find_tree
from patches import all_patches
from tests.verify.conftest import Unpack

pytestmark = pytest.mark.tree
Run = Callable[..., tuple[int, str, str]]

DECODE = "decode:n4:p64:flashmla_kv:s32:r64:c1,8:x2304:k2048:d4:tour5"
RUNNER = "decode@runner:n2:p64:fa3:s64:r64:c1,4:x2304:k2048:d4:recapture4"
VERIFY = "target_verify:n1:p64:flashmla_kv:s64:r32:c1,4:x2304:k2048:d3:tour4"
EXTEND = "draft_extend:n1:p1:fa3:s32:r32:c1,4:x2304:k2048:d3:tour4"
ALL = [f"--scenario={text}" for text in (DECODE, RUNNER, VERIFY, EXTEND)]
BACKEND = "sglang/srt/layers/attention/nsa_backend.py"


def edit(tree: Path, old: str, new: str) -> None:
    file = tree / BACKEND
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    file.write_text(text.replace(old, new))


def test_an_applied_tree_is_identical_on_every_route(applied: Path, run: Run) -> None:
    code, out, _ = run(applied, "--device", "cpu", *ALL)
    assert code == 0, out
    assert out.splitlines()[0].startswith("device: cpu. This proves the logic")
    assert out.splitlines()[-1].startswith("identical: every byte of ")
    for route in ("per-backend", "precomputed", "fused-decode", "fan-out", "in-graph"):
        assert f" {route} " in out
    assert "CUDA graph capture and replay: the captured function is run again" in out
    assert "get_mla_metadata: a deterministic stand-in" in out


def test_an_original_tree_has_no_manifest_to_verify(original: Path, run: Run) -> None:
    code, out, err = run(original, "--device", "cpu")
    assert (code, out) == (3, "")
    assert "carries no manifest of ours" in err
    assert "--baseline in-tree" in err


def test_an_original_tree_is_its_own_release(original: Path, run: Run) -> None:
    code, out, _ = run(original, "--device", "cpu", "--baseline", "0.5.6.post2", *ALL)
    assert code == 0, out
    assert "both sides have the same files" in out


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (
            "metadata.cu_seqlens_k[1:],",
            "metadata.cu_seqlens_k[1:].clone(),",
            "cu_seqlens_k of backend 0",
        ),
        (
            "metadata.page_table_1[:rows, :cols].copy_(precomputed.page_indices)",
            "metadata.page_table_1[:rows, : cols - 1].copy_("
            "precomputed.page_indices[:, : cols - 1])",
            "page_table_1 of backend 0",
        ),
        (
            "for attn_backend in self.attn_backends:\n"
            "                attn_backend.init_forward_metadata_replay_cuda_graph_from",
            "for attn_backend in self.attn_backends[:-1]:\n"
            "                attn_backend.init_forward_metadata_replay_cuda_graph_from",
            "of backend 3",
        ),
    ],
    ids=["a buffer not copied", "a column too few", "a backend left stale"],
)
def test_a_planted_bug_is_named(
    copy: Path, run: Run, old: str, new: str, names: str
) -> None:
    edit(copy, old, new)
    code, out, _ = run(
        copy, "--device", "cpu", "--route", "precomputed", "--scenario", DECODE
    )
    assert code == 1
    assert names in out
    assert f"edited since the apply: {BACKEND}" in out
    reproduce = next(line for line in out.splitlines() if "reproduce: " in line)
    assert f"--route precomputed --scenario {DECODE} --seed 0" in reproduce
    assert out.splitlines()[-1].startswith("NOT identical: ")


def test_a_silent_fallback_is_no_pass(copy: Path, run: Run) -> None:
    kernels = copy / "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
    launch = "_metadata_kernel.warmup("
    text = kernels.read_text()
    assert text.count(launch) == 1
    kernels.write_text(text.replace(launch, "_none_today.warmup("))
    code, out, _ = run(
        copy, "--device", "cpu", "--route", "fan-out", "--scenario", DECODE
    )
    assert code == 1
    assert "the route did not run: no replay kernel *_metadata_kernel*" in out
    assert "_none_today" in out


def test_a_class_that_is_gone_is_a_difference(copy: Path, run: Run) -> None:
    runner = copy / "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py"
    runner.write_text(runner.read_text() + "\ndel EAGLEDraftCudaGraphRunner\n")
    code, out, _ = run(
        copy, "--device", "cpu", "--route", "in-graph", "--scenario", RUNNER
    )
    assert code == 1
    assert "the route of the candidate: old the baseline runs this scenario" in out


def test_originals_that_are_not_the_release_s_are_refused(
    original: Path, tmp_path: Path, run: Run
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(original, tree)
    edit(
        tree,
        "\n\nclass NativeSparseAttnMulti",
        "\n\n# Ours.\nclass NativeSparseAttnMulti",
    )
    apply(find_tree(tree), [], all_patches(), allow_drift=True)
    report, junit = tmp_path / "report.json", tmp_path / "junit.xml"
    files = ("--json", report, "--junit", junit, "--report", tmp_path / "pages")
    code, out, err = run(tree, "--device", "cpu", *files)
    assert (code, out) == (3, "")
    assert "is not sglang 0.5.6.post2's" in err
    assert "--baseline originals" in err
    assert json.loads(report.read_text())["result"] == "Refused"
    assert 'errors="1"' in junit.read_text()
    assert (tmp_path / "pages/junit.xml").read_text() == junit.read_text()


def test_the_record_says_what_was_proved(
    applied: Path, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    code, out, _ = run(
        applied, "--device", "cpu", "--route", "original", "--scenario", VERIFY,
        "--record", file,
    )  # fmt: skip
    assert code == 0, out
    record = load(file)
    assert record.verdict == "identical"
    assert record.machine.logic_only
    assert {patch.name for patch in record.patches} >= {"precompute", "target-verify"}
    assert record.files[BACKEND] != record.baseline.files[BACKEND]


def test_another_tree_as_baseline(
    applied: Path, original: Path, run: Run, tmp_path: Path
) -> None:
    code, out, _ = run(
        applied, "--device", "cpu", "--baseline", original, "--scenario", VERIFY
    )
    assert code == 0, out


def test_a_new_module_of_the_tree_is_run_not_stubbed(
    copy: Path, original: Path, run: Run, tmp_path: Path
) -> None:
    shutil.rmtree(copy / "sglang/.nsa-opt")
    (copy / "sglang/srt/layers/attention/nsa/mine.py").write_text("WRONG = 1\n")
    edit(
        copy,
        "        outputs = [\n            metadata.cache_seqlens_int32,",
        "        from sglang.srt.layers.attention.nsa.mine import WRONG\n"
        "        self.req_to_token[-1, -1] = WRONG\n"
        "        outputs = [\n            metadata.cache_seqlens_int32,",
    )
    report = tmp_path / "report.json"
    arguments = ("--baseline", original, "--route", "precomputed", "--json", report)
    code, out, _ = run(copy, "--device", "cpu", *arguments, "--scenario", DECODE)
    assert code == 1
    assert "req_to_token of inputs" in out
    files = json.loads(report.read_text())["candidate"]["files"]
    assert "sglang/srt/layers/attention/nsa/mine.py" in files


@pytest.mark.parametrize(
    ("release", "steps", "code"),
    [("0.5.12", 3, 0), ("0.5.12", 4, 1), ("0.5.7", 3, 1), ("0.5.9", 3, 1)],
)
def test_in_tree_finds_the_stale_schedule(
    unpack: Unpack, run: Run, release: str, steps: int, code: int
) -> None:
    scenario = DECODE.replace("n4", f"n{steps}").replace("flashmla_kv", "fa3")
    got, out, _ = run(
        unpack(release), "--device", "cpu", "--baseline", "in-tree",
        "--route", "precomputed", "--scenario", scenario,
    )  # fmt: skip
    assert got == code, out
    assert "get_paged_mqa_logits_metadata: a deterministic stand-in" in out
    if code:
        assert "paged_mqa_schedule_metadata of backend 0" in out
        assert "so the indexer is slow" in out
        # From 0.5.9 on one backend fewer than steps.
        assert ("(0, 1)" if (release, steps) == ("0.5.9", 3) else "(0-2)") in out
    if release != "0.5.7":
        assert "JIT CUDA copy kernels: plain copies" in out


@pytest.mark.parametrize("release", ["0.5.4", "0.5.5", "0.5.6"])
def test_in_tree_passes_on_releases_that_compute_for_each_backend(
    unpack: Unpack, run: Run, release: str
) -> None:
    code, out, _ = run(
        unpack(release),
        "--device",
        "cpu",
        "--baseline",
        "in-tree",
        "--scenario",
        DECODE,
    )
    assert code == 0, out
