"""What one tree's replay leaves behind, measured; see consequence.py, which runs it.

python consequence_side.py TREE      prints JSON
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consequence_replay import PAGE, WIDTH, lifted, replayed

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


def side(tree: Path, device: str = "cuda") -> dict[str, Any]:
    """Everything measured with one tree's replay."""
    import deep_gemm
    import torch

    code = lifted(tree)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__,
        "deep_gemm": _version("sgl-deep-gemm"),
        "indexer": [],
        "topk": [],
        "replay": [],
    }
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


if __name__ == "__main__":
    _stub_runtime()
    print(json.dumps(side(Path(sys.argv[1]))))
