"""What `ci/cuda run` does with Python: compiles, times a launch, builds the extension."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

HOUSE = Path(__file__).parent.parent
PATCH = HOUSE / "patches/cuda_decode"
NAME = "cuda_metadata_kernel"
BASE = "sglang/srt/layers/attention"


def compile_all(trees: Path) -> Iterator[tuple[str, Any]]:
    """Each release's own `load_jit` on the tree's kernel: seconds, first and again."""
    for tree in sorted(trees.iterdir()):
        took = []
        for _ in range(2):
            began = time.perf_counter()
            code = "import cuda, pathlib, sys; cuda.kernel(pathlib.Path(sys.argv[1]))"
            command = [sys.executable, "-c", code, str(tree)]
            subprocess.run(command, cwd=HOUSE / "ci", check=True)
            took.append(round(time.perf_counter() - began, 1))
        print(f"{tree.name}: compiled and loaded in {took[0]} s, again in {took[1]} s")
        yield tree.name, took


def kernel(tree: Path) -> ModuleType:
    """The tree's module with its kernel loaded; the rest of the package is left out."""
    for name in ("sglang", "sglang.srt", "sglang.srt.utils", "sglang.jit_kernel"):
        sys.modules[name] = package = ModuleType(name)
        package.__path__ = []
    for name in ("sglang.utils", "sglang.srt.utils.common"):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(is_in_ci=bool, direct_register_custom_op=None)
    compiler = tree / "sglang/jit_kernel/utils.py"
    if compiler.exists():
        place(compiler, "sglang.jit_kernel.utils")
    found = next(tree.glob(f"{BASE}/*/{NAME}.py"))
    module = place(found, NAME)
    module.load_decode_metadata_kernel()
    if not module.has_decode_metadata_kernel():
        sys.exit(f"{tree}: the kernel does not compile")
    return module


def place(file: Path, name: str) -> ModuleType:
    """The file as the module of this name."""
    spec = util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch(bs: int, length: int, context: int = 163_840) -> dict[str, Any]:
    """A decode batch's inputs, and the buffers of one backend."""
    import torch

    def ints(*shape: int, kind: Any = torch.int32) -> Any:
        return torch.zeros(shape, dtype=kind, device="cuda")

    pool = torch.randint(0, 2**31 - 1, (256, context), dtype=torch.int32, device="cuda")
    lens = torch.randint(1, length + 1, (bs,), dtype=torch.int32, device="cuda")
    lens[-1] = length
    return {
        "seq_lens": lens,
        "req_pool_indices": torch.randperm(256, device="cuda")[:bs],
        "req_to_token": pool,
        "cache_seqlens": ints(bs),
        "cu_seqlens_k": ints(bs + 1),
        "page_indices": ints(bs, context),
        "nsa_cache_seqlens": ints(bs),
        "nsa_cu_seqlens_k": ints(bs + 1),
        "real_page_table": ints(bs, -(-context // 64)),
        "max_len": context,
        "nsa_index_topk": 2048,
        "real_page_size": 64,
    }


def launch(tree: Path) -> Iterator[tuple[str, Any]]:
    """Host time of one launch, CUDA and Triton in turns, medians; then GPU time by block."""
    from types import SimpleNamespace

    cuda = kernel(tree)
    name = f"{BASE.replace('/', '.')}.nsa"
    for part in ("sglang.srt.layers", "sglang.srt.layers.attention", name):
        sys.modules[part] = ModuleType(part)
    sys.modules[f"{name}.{NAME}"] = cuda
    triton = place(tree / BASE / "nsa/triton_metadata_kernel.py", "triton_metadata")
    compiled = cuda._launch

    def by_triton(b: dict[str, Any], m: Any) -> Callable[[], None]:
        def call() -> None:
            cuda._launch = None
            triton.fill_metadata_inplace(
                m, len(m.cache_seqlens_int32), b["seq_lens"], b["req_pool_indices"],
                b["req_to_token"], 2048,
            )  # fmt: skip

        return call

    def by_cuda(b: dict[str, Any], m: Any) -> Callable[[], None]:
        def call() -> None:
            cuda._launch = compiled
            triton.fill_metadata_inplace(
                m, len(m.cache_seqlens_int32), b["seq_lens"], b["req_pool_indices"],
                b["req_to_token"], 2048,
            )  # fmt: skip

        return call

    for bs, length in ((1, 2048), (8, 8192), (32, 16384), (64, 65536), (128, 131072)):
        b = batch(bs, length)
        m = SimpleNamespace(
            cache_seqlens_int32=b["cache_seqlens"], cu_seqlens_k=b["cu_seqlens_k"],
            nsa_seqlens_expanded=b["cache_seqlens"],
            nsa_cache_seqlens_int32=b["nsa_cache_seqlens"],
            nsa_cu_seqlens_k=b["nsa_cu_seqlens_k"], page_table_1=b["page_indices"],
            real_page_table=b["real_page_table"], page_size=64,
        )  # fmt: skip
        sides = {"cuda": by_cuda(b, m), "triton": by_triton(b, m)}
        host: dict[str, list[float]] = {side: [] for side in sides}
        both: dict[str, list[float]] = {side: [] for side in sides}
        for side in (*sides, *sides):
            sides[side]()
        for _ in range(30):
            for side, call in sides.items():
                h, t = clocked(call)
                host[side].append(h)
                both[side].append(t)
        row = {
            side: {
                "host": round(statistics.median(host[side]), 2),
                "total": round(statistics.median(both[side]), 2),
            }
            for side in sides
        }
        print(f"bs {bs} len {length}: " + ", ".join(
            f"{s} {r['host']} host {r['total']} total us" for s, r in row.items()
        ))  # fmt: skip
        yield f"{bs}x{length}", row


def clocked(call: Callable[[], None], times: int = 20) -> tuple[float, float]:
    """Median µs of a call on an idle GPU: until it returns, and until the GPU is done."""
    import torch

    host, total = [], []
    for _ in range(times):
        torch.cuda.synchronize()
        began = time.perf_counter_ns()
        call()
        returned = time.perf_counter_ns()
        torch.cuda.synchronize()
        total.append(time.perf_counter_ns() - began)
        host.append(returned - began)
    return statistics.median(host) / 1000, statistics.median(total) / 1000


MAIN = """
#include <torch/extension.h>
void precompute_decode_metadata_cuda(
    at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
    at::Tensor, c10::optional<at::Tensor>, int64_t, int64_t, int64_t);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("precompute_decode_metadata_cuda", &precompute_decode_metadata_cuda);
}
"""


def extension() -> Iterator[tuple[str, Any]]:
    """sgl-kernel's .cu as a torch extension, against PyTorch, element by element."""
    import torch
    from torch.utils.cpp_extension import load

    major, minor = torch.cuda.get_device_capability()
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "main.cpp").write_text(MAIN)
        cu = PATCH / "sgl-kernel/csrc/elementwise/precompute_decode_metadata.cu"
        began = time.perf_counter()
        module = load(
            "precompute_decode_metadata", [str(Path(place) / "main.cpp"), str(cu)],
            extra_include_paths=[str(PATCH / "payload")], build_directory=place,
            extra_cuda_cflags=[f"-gencode=arch=compute_{major}{minor},code=sm_{major}{minor}"],
        )  # fmt: skip
        took = round(time.perf_counter() - began, 1)
        compared = 0
        shapes = [
            (1, 1),
            (1, 2048),
            (3, 4097),
            (32, 999),
            (257, 640),
            (1030, 80),
            (70000, 3),
        ]
        for bs, length in shapes:
            for kind in (torch.int32, torch.int64):
                for page in (1, 32, 64):
                    compared += compare(module, bs, length, kind, page)
    print(f"built in {took} s; {compared:,} elements equal to PyTorch's")
    yield "seconds", took
    yield "elements", compared


def compare(module: Any, bs: int, length: int, kind: Any, page: int) -> int:
    """Elements compared; raises AssertionError where one differs."""
    import torch

    lens = torch.randint(1, length + 1, (bs,), dtype=kind, device="cuda")
    lens[bs // 2] = length
    rows = torch.randint(0, 64, (bs,), dtype=kind, device="cuda")
    pool = torch.randint(
        0, 2**31 - 1, (64, length + 3), dtype=torch.int32, device="cuda"
    )
    out = [
        torch.full((n,), -7, dtype=torch.int32, device="cuda")
        for n in (bs, bs + 1, bs, bs + 1)
    ]
    pages = torch.full((bs, length), -7, dtype=torch.int32, device="cuda")
    real = torch.full((bs, -(-length // page)), -7, dtype=torch.int32, device="cuda")
    module.precompute_decode_metadata_cuda(
        lens, rows, pool, out[0], out[1], pages, out[2], out[3],
        real if page > 1 else None, length, 64, page,
    )  # fmt: skip
    cache = lens.to(torch.int32)
    nsa = cache.clamp(max=64)
    table = pool[rows.long(), :length]

    def sums(t: Any) -> Any:
        return torch.nn.functional.pad(torch.cumsum(t, 0, dtype=torch.int32), (1, 0))

    wanted = [cache, sums(cache), nsa, sums(nsa), table]
    found = [*out, pages]
    if page > 1:
        wanted.append(table[:, ::page] // page)
        found.append(real)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other), (bs, length, kind, page)
    return sum(t.numel() for t in found)


def main() -> int:
    """One verb; what it finds goes to --json too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("compile", "launch", "extension"))
    parser.add_argument("place", nargs="?", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.verb == "compile":
        found = dict(compile_all(asked.place))
    else:
        found = dict(launch(asked.place) if asked.verb == "launch" else extension())
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
