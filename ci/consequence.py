"""What upstream's stale schedule and top-k plan do, before and after `fresh-plans`.

pack   here: both trees' replay code, upstream's kernels and the wheels they need
run    on a machine with an H100 or H200, CUDA 13, torch 2.11 and no network

The release's own replay runs, lifted out of its dsa_backend.py: captured with lengths of 1
as a server does, replayed once with long ones. Backend 0 is one of those that are copied
to three at once, backend 3 is copied to alone. Then the indexer's kernel (DeepGEMM) and the
top-k kernel run with the metadata that each backend has.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

RELEASE = "0.5.23"
BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
PACKED = (
    "sglang/kernels/jit/__init__.py",
    "sglang/kernels/jit/csrc/deepseek_v4/topk_v2.cuh",
    "sglang/kernels/jit/csrc/elementwise/fused_metadata_copy.cuh",
    "sglang/kernels/jit/csrc/occupancy/",
    "sglang/kernels/jit/include/",
    "sglang/kernels/jit/utils/",
    "sglang/kernels/ops/attention/dsa/fused_metadata_copy.py",
    "sglang/kernels/ops/attention/dsv4/candidate_table.py",
    "sglang/kernels/ops/attention/dsv4/topk.py",
    "sglang/kernels/ops/attention/dsv4/utils.py",
    "sglang/srt/environ.py",
    BACKEND,
)
WHEELS = (
    # What 0.5.15.post1 pins: 0.5.23's own wants a newer torch.
    "sgl-deep-gemm==0.1.4",
    "apache-tvm-ffi==0.1.11",
    "msgspec",
    "ninja",
)
STEPS = 5
INDEXER = ((1, 2048), (1, 16384), (1, 131072), (8, 65536), (32, 16384), (64, 65536))
TOPK = (
    (24, 131072),
    (31, 131072),
    (64, 65536),
    (64, 131072),
    (64, 163840),
    (128, 131072),
    (512, 131072),
)
WIDTH = 163840
PAGE = 64
LIFTED = (
    "_to_2d_context_lens",
    "DeepseekSparseAttnMultiStepBackend.init_forward_metadata_out_graph",
    "DeepseekSparseAttnBackend._refresh_paged_mqa_schedule_metadata",
    "DeepseekSparseAttnBackend._refresh_topk_v2_plan",
    "DeepseekSparseAttnBackend._build_topk_v2_plan",
    "DeepseekSparseAttnBackend.init_forward_metadata_replay_cuda_graph_from_precomputed",
)


def pack(dest: Path) -> None:
    """Writes `before/`, `after/` and `wheels/` into `dest`."""
    from patcher.apply import apply
    from patcher.tree.find import find_tree
    from patcher.tree.pins import PINNED, pins
    from patcher.tree.wheels import fetch
    from patches import all_patches

    wheel = fetch(pins()[RELEASE], lambda line: print(line, file=sys.stderr))
    for side in ("before", "after"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(PACKED) or (side == "after" and name in PINNED):
                    archive.extract(name, dest / side)
    apply(find_tree(dest / "after"), ["fresh-plans"], all_patches())
    platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in (34, 28, 27, 24, 17)]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    download += ["--only-binary=:all:", "--python-version=3.12", *platforms]
    subprocess.run([*download, f"--dest={dest / 'wheels'}", *WHEELS], check=True)


def run(folder: Path, out: Path | None) -> None:
    """Runs both sides, one after the other, and prints the tables."""
    site = Path("/tmp/nsa-opt-consequence")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    install += ["--no-deps", "--upgrade", f"--target={site}"]
    wheels = sorted(str(file) for file in (folder / "wheels").glob("*.whl"))
    subprocess.run([*install, *wheels], check=True)
    libraries = [str(folder) for folder in _nvidia_libraries()]
    sides = {}
    for side in ("before", "after"):
        paths = [str(site), str((folder / side).resolve())]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PATH": os.pathsep.join([str(site / "bin"), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": os.pathsep.join(
                [*libraries, os.environ.get("LD_LIBRARY_PATH", "")]
            ),
            "SGLANG_JIT_CACHE_DIR": str(site / "jit"),
        }
        command = [sys.executable, str(Path(__file__).resolve()), "side"]
        command.append(str((folder / side).resolve()))
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, text=True, timeout=280, check=True
        )
        sides[side] = json.loads(done.stdout.splitlines()[-1])
    text = tables(sides)
    print(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "consequence.md").write_text(text + "\n")
        (out / "consequence.json").write_text(json.dumps(sides, indent=1) + "\n")


def _nvidia_libraries() -> list[Path]:
    """CUDA's libraries as torch brings them, for DeepGEMM to be loaded with."""
    spec = importlib.util.find_spec("nvidia")
    homes = spec.submodule_search_locations if spec else ()
    return [found for home in homes or () for found in sorted(Path(home).glob("*/lib"))]


def tables(sides: dict[str, Any]) -> str:
    """Both tables, in Markdown."""
    before, after = sides["before"], sides["after"]
    lines = [
        f"{before['device']}, torch {before['torch']}, sglang {RELEASE}'s replay and",
        f"kernels, DeepGEMM {before['deep_gemm']}, {STEPS} steps, captured with lengths",
        "of 1. Backends 0 to 2 are copied to at once, backend 3 alone.",
        "",
        "Indexer (`fp8_paged_mqa_logits`), µs a call:",
        "",
        "| batch x length | backend 0 before | backend 0 after | backend 3 before "
        "| logits before, after |",
        "|---|---|---|---|---|",
    ]
    for old, new in zip(before["indexer"], after["indexer"], strict=True):
        same = ", ".join("same" if s["same_logits"] else "DIFFER" for s in (old, new))
        lines.append(
            f"| {old['bs']} x {old['length']:,} | {old['us'][0]:.1f} "
            f"| {new['us'][0]:.1f} | {old['us'][1]:.1f} | {same} |"
        )
    lines += [
        "",
        "Top-k (`topk_transform_paged_v2`), rows whose 2,048 slots are not the best 2,048:",
        "",
        "| batch x length | backend 0 before | backend 0 after | backend 3 before "
        "| slots from what was in memory before |",
        "|---|---|---|---|---|",
    ]
    for old, new in zip(before["topk"], after["topk"], strict=True):
        bs = old["bs"]
        lines.append(
            f"| {bs} x {old['length']:,} | {old['wrong'][0]} of {bs} "
            f"| {new['wrong'][0]} of {bs} | {old['wrong'][1]} of {bs} "
            f"| {old['left']:,} of {bs * 2048:,} |"
        )
    lines += [
        "",
        "One replay call, µs until the device is done, median:",
        "",
        "| batch x length | before | after |",
        "|---|---|---|",
    ]
    for old, new in zip(before["replay"], after["replay"], strict=True):
        lines.append(
            f"| {old['bs']} x {old['length']:,} | {old['us']:.0f} | {new['us']:.0f} |"
        )
    notes = sorted({*before["notes"], *after["notes"]})
    return "\n".join([*lines, *([""] if notes else []), *notes])


def side(tree: Path, device: str = "cuda") -> dict[str, Any]:
    """Everything measured with one tree's replay."""
    import deep_gemm
    import torch

    code = lifted(tree)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__,
        "deep_gemm": _version("sgl-deep-gemm"),
        "notes": [],
        "indexer": [],
        "topk": [],
        "replay": [],
    }
    _copy_kernel(found["notes"])
    for bs, length in INDEXER:
        first, last, call = replayed(code, bs, length, device)
        found["indexer"].append(
            {"bs": bs, "length": length, **indexer(deep_gemm, bs, length, first, last)}
        )
        found["replay"].append({"bs": bs, "length": length, "us": _median(call, 30)})
        del first, last, call
    for bs, length in TOPK:
        first, last, _ = replayed(code, bs, length, device)
        wrong = [topk(bs, length, one) for one in (first, last)]
        found["topk"].append(
            {
                "bs": bs,
                "length": length,
                "wrong": [rows for rows, _ in wrong],
                "left": wrong[0][1],
            }
        )
    return found


def lifted(tree: Path) -> dict[str, Any]:
    """The replay's functions out of the tree's backend, by their last name."""
    import deep_gemm
    import torch

    from sglang.srt.environ import envs

    def stop(*words: object) -> None:
        raise RuntimeError(f"the copy to three backends fell back: {words}")

    namespace: dict[str, Any] = {
        "torch": torch,
        "envs": envs,
        "is_cuda": lambda: True,
        "ForwardMode": types.SimpleNamespace(
            DECODE=types.SimpleNamespace(is_decode_or_idle=lambda: True)
        ),
        "resolve_paged_mqa_logits_metadata_fn": lambda: (
            deep_gemm.get_paged_mqa_logits_metadata
        ),
        "resolve_num_sms": deep_gemm.get_num_sms,
        # Upstream prints and goes on with a loop that refreshes everything.
        "print": stop,
    }
    text = (tree / BACKEND).read_text(encoding="utf-8")
    body: list[ast.stmt] = list(ast.parse("from __future__ import annotations").body)
    for node in ast.parse(text).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inner:
            if isinstance(one, ast.FunctionDef) and prefix + one.name in LIFTED:
                body.append(one)
    if len(body) != 1 + len(LIFTED):
        raise RuntimeError(f"{BACKEND} does not define all of {', '.join(LIFTED)}")
    exec(compile(ast.Module(body, []), BACKEND, "exec"), namespace)
    return namespace


def replayed(
    code: dict[str, Any], bs: int, length: int, device: str
) -> tuple[Any, Any, Callable[[], None]]:
    """The metadata of backends 0 and 3 after a replay, and the replay call."""
    import torch

    lengths = torch.full((bs,), length, dtype=torch.int32, device=device)
    source = _precomputed(bs, lengths)

    class Backend:
        experimental_kpool_metadata_fusion = False
        _refresh_paged_mqa_schedule_metadata = code[
            "_refresh_paged_mqa_schedule_metadata"
        ]
        _refresh_topk_v2_plan = code["_refresh_topk_v2_plan"]
        _build_topk_v2_plan = code["_build_topk_v2_plan"]
        dsa_topk_backend = types.SimpleNamespace(should_use_topk_v2=lambda: True)
        init_forward_metadata_replay_cuda_graph_from_precomputed = code[
            "init_forward_metadata_replay_cuda_graph_from_precomputed"
        ]

        def __init__(self) -> None:
            self.decode_cuda_graph_metadata = {bs: _captured(code, bs, device)}

        def _precompute_replay_metadata(self, **given: object) -> Any:
            return source

        def set_dsa_prefill_impl(self, forward_batch: object) -> None:
            pass

        def _update_kpool_metadata_from_precomputed(self, *given: object) -> None:
            pass

        def _copy_base_replay_buffers(
            self, bs: int, metadata: Any, precomputed: Any, mode: object
        ) -> None:
            metadata.cache_seqlens_int32.copy_(precomputed.cache_seqlens)
            metadata.real_page_table.copy_(precomputed.real_page_table)

    backends = [Backend() for _ in range(STEPS - 1)]
    multi = types.SimpleNamespace(attn_backends=backends, speculative_num_steps=STEPS)
    batch = types.SimpleNamespace(
        batch_size=bs, req_pool_indices=None, seq_lens=lengths, seq_lens_cpu=None
    )

    def call() -> None:
        code["init_forward_metadata_out_graph"](multi, batch)
        if device == "cuda":
            torch.cuda.synchronize()

    call()
    first, last = (
        one.decode_cuda_graph_metadata[bs] for one in (backends[0], backends[3])
    )
    for metadata in (first, last):
        if not torch.equal(metadata.cache_seqlens_int32, lengths):
            raise RuntimeError("the replay did not copy the lengths")
        if not torch.equal(metadata.real_page_table, source.real_page_table):
            raise RuntimeError("the replay did not copy the page table")
    return first, last, call


def _precomputed(bs: int, lengths: Any) -> Any:
    import torch

    device = lengths.device
    pages = WIDTH // PAGE
    table = torch.arange(bs * pages, dtype=torch.int32, device=device).view(bs, pages)
    zero = torch.zeros(bs + 1, dtype=torch.int32, device=device)
    return types.SimpleNamespace(
        cache_seqlens=lengths,
        seqlens_expanded=lengths,
        cu_seqlens_k=zero,
        # Nobody reads it with top-k v2; a narrow one keeps the memory small.
        page_indices=torch.zeros(bs, PAGE, dtype=torch.int32, device=device),
        dsa_cache_seqlens=lengths.clamp(max=2048),
        dsa_cu_seqlens_k=zero,
        real_page_table=table,
        flashmla_metadata=None,
        max_len=PAGE,
        max_seqlen_k=PAGE,
        seqlens_expanded_size=bs,
    )


def _captured(code: dict[str, Any], bs: int, device: str) -> Any:
    """A backend's buffers as a capture leaves them: planned for lengths of 1."""
    import deep_gemm
    import torch

    from sglang.kernels.ops.attention.dsv4.topk import plan_topk_v2

    ones = torch.ones(bs, dtype=torch.int32, device=device)
    two = code["_to_2d_context_lens"](ones, bs)
    source = _precomputed(bs, ones)
    return types.SimpleNamespace(
        cache_seqlens_int32=ones,
        dsa_seqlens_expanded=ones,
        paged_mqa_ctx_lens_2d=two,
        cu_seqlens_k=source.cu_seqlens_k.clone(),
        page_table_1=source.page_indices.clone(),
        dsa_cache_seqlens_int32=ones.clone(),
        dsa_cu_seqlens_k=source.dsa_cu_seqlens_k.clone(),
        real_page_table=torch.zeros_like(source.real_page_table),
        flashmla_metadata=None,
        paged_mqa_schedule_metadata=deep_gemm.get_paged_mqa_logits_metadata(
            two, 64, deep_gemm.get_num_sms()
        ),
        topk_v2_plan=plan_topk_v2(ones),
    )


def indexer(
    deep_gemm: Any, bs: int, length: int, first: Any, last: Any
) -> dict[str, Any]:
    """µs a call with each backend's metadata, and whether the logits are the same."""
    import torch

    torch.manual_seed(0)
    pages = -(-length // PAGE)
    device = first.cache_seqlens_int32.device
    q = torch.randn(bs, 1, 64, 128, device=device).to(torch.float8_e4m3fn)
    keys = torch.randn(bs * pages, PAGE * 128, device=device, dtype=torch.bfloat16)
    scale = torch.ones(bs * pages, PAGE, device=device)
    cache = torch.cat(
        [keys.to(torch.float8_e4m3fn).view(torch.uint8), scale.view(torch.uint8)], 1
    ).view(bs * pages, PAGE, 1, 132)
    weights = torch.randn(bs, 64, device=device)
    table = torch.randperm(bs * pages, device=device).to(torch.int32).view(bs, pages)

    def logits(metadata: Any) -> Any:
        return deep_gemm.fp8_paged_mqa_logits(
            q,
            cache,
            weights,
            metadata.paged_mqa_ctx_lens_2d,
            table,
            metadata.paged_mqa_schedule_metadata,
            pages * PAGE,
            clean_logits=False,
        )

    same = torch.equal(logits(first)[:, :length], logits(last)[:, :length])
    us = [_graph_us(lambda one=one: logits(one)) for one in (first, last)]
    return {"us": us, "same_logits": same}


def topk(bs: int, length: int, metadata: Any) -> tuple[int, int]:
    """Rows that are wrong, and slots that follow from what was in the memory before."""
    import torch

    from sglang.kernels.ops.attention.dsv4.topk import topk_transform_paged_v2

    device = metadata.cache_seqlens_int32.device
    torch.manual_seed(1)
    # Not uniform: what shares a coarse bin with the last of the best has little room.
    scores = torch.randn(bs, WIDTH, device=device)
    # What another batch left there: the same position of a row, 2,048 times.
    left = 12345
    slots = torch.full((bs, 2048), left, dtype=torch.int32, device=device)
    topk_transform_paged_v2(
        scores,
        metadata.cache_seqlens_int32,
        metadata.real_page_table,
        slots,
        PAGE,
        metadata.topk_v2_plan,
    )
    # Row r's pages are r * pages and up, so a slot tells the position again.
    start = torch.arange(bs, device=device).view(-1, 1) * WIDTH
    at = slots.long() - start
    valid = ((at >= 0) & (at < length)).all(1)
    got = scores.gather(1, at.clamp(0, length - 1)).sort(1).values
    best = scores[:, :length].topk(2048, 1).values.sort(1).values
    right = valid & (got == best).all(1)
    return int((~right).sum()), int((at[~right] == left).sum())


def _graph_us(call: Callable[[], object], calls: int = 10) -> float:
    """Median µs of a call inside a CUDA graph, as a server runs it."""
    import torch

    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    times = []
    for _ in range(9):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1000 / calls)
    return statistics.median(times)


def _median(call: Callable[[], None], times: int) -> float:
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        took.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(took)


def _copy_kernel(notes: list[str]) -> None:
    """Upstream's copy to three backends; plain copies where it does not compile."""
    import torch

    from sglang.kernels.ops.attention.dsa import fused_metadata_copy as module

    real = module.fused_metadata_copy_multi_cuda
    try:
        module._jit_fused_metadata_copy_multi_module(True, False)
    except Exception as error:
        notes.append(
            f"The copy to three backends is plain torch: {type(error).__name__} "
            "when upstream's kernel was compiled."
        )

        def plain(*given: Any) -> None:
            sources = given[:6]
            for first in (8, 16, 24):
                for source, target in zip(sources, given[first:], strict=False):
                    if isinstance(source, torch.Tensor):
                        target.copy_(source)

        module.fused_metadata_copy_multi_cuda = plain
    else:
        module.fused_metadata_copy_multi_cuda = real


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _stub_runtime() -> None:
    """The few runtime modules that the kernels' wrappers ask for one answer."""

    def stub(name: str, **answers: object) -> None:
        module = types.ModuleType(name)
        module.__dict__.update(answers, __path__=[])
        sys.modules[name] = module

    stub("sglang.srt.utils", is_xpu=lambda: False)
    stub("sglang.srt.utils.common", is_cuda=lambda: True)
    stub(
        "sglang.srt.model_executor.forward_batch_info", build_inner_fb_view=lambda: None
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("pack", "run", "side"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.do == "pack":
        pack(given.folder)
    elif given.do == "run":
        run(given.folder, given.out)
    else:
        _stub_runtime()
        print(json.dumps(side(given.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
