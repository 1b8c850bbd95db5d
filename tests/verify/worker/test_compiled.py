"""What a tree compiles at run time: counted, refused, and on a CPU compiled for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from patcher.results import Exit, Refusal
from verify.routes import ROUTES
from verify.verify import _compiles, _needs_compiler, _uncompiled
from verify.worker.observe.evidence import EVIDENCE
from verify.worker.tree import compiled
from verify.worker.tree.isolate import Isolated

KERNEL = """
#include <cstdint>
#include <cuda_runtime.h>

__global__ void fill(int32_t* out, int32_t n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int32_t last = __shfl_xor_sync(0xffffffffu, i, 31);
  if (i < n) out[i] = last;
  if (n < 0 && threadIdx.x == 0) __syncthreads();
}

inline int64_t launch(int64_t out, int64_t n) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(2);
  config.blockDim = dim3(32);
  return cudaLaunchKernelEx(&config, fill, reinterpret_cast<int32_t*>(out), static_cast<int32_t>(n));
}
"""
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="compiles for the host: needs g++"
)


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    (tmp_path / "kernel.cuh").write_text(KERNEL)
    made = compiled.for_host()
    compiled.watch(made, blocked=False)
    return made


@needs_compiler
def test_a_launch_that_succeeds_is_counted(module: ModuleType, tmp_path: Path) -> None:
    import torch

    EVIDENCE.reset()
    files = [str(tmp_path / "kernel.cuh")]
    made = module.load_jit("k", cuda_files=files, cuda_wrappers=[("fill_k", "launch")])
    out = torch.zeros(64, dtype=torch.int32)
    with EVIDENCE.during("replay"):
        assert made.fill_k(out.data_ptr(), 40) == 0
        # Threads that part at a barrier, as a number instead of a hang.
        assert made.fill_k(out.data_ptr(), -1) != 0
    assert out.tolist() == [i ^ 31 for i in range(40)] + [0] * 24
    assert EVIDENCE.found()["counts"] == {"replay": {"kernel fill_k": 1}}
    EVIDENCE.reset()


@needs_compiler
def test_a_source_that_is_no_cuda_says_why(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "kernel.cuh").write_text("no cuda\n")
    with pytest.raises(RuntimeError, match="error:"):
        module.load_jit(
            "k", cuda_files=[str(tmp_path / "kernel.cuh")], cuda_wrappers=()
        )


def test_nothing_compiles_where_that_is_what_is_tested() -> None:
    module = compiled.for_host()
    compiled.watch(module, blocked=True)
    with pytest.raises(RuntimeError, match="nothing compiles here"):
        module.load_jit("k", cuda_files=(), cuda_wrappers=())


def test_torchs_own_compiler_is_watched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(kernel=lambda: 0)
    monkeypatch.setattr(
        "torch.utils.cpp_extension.load_inline", lambda name, **options: loaded
    )
    from torch.utils import cpp_extension

    EVIDENCE.reset()
    compiled.watch_torch(b"nothing of it", blocked=False)
    assert cpp_extension.load_inline("k") is loaded
    for _ in range(2):
        compiled.watch_torch(b"from torch.utils.cpp_extension import x", blocked=False)
    assert cpp_extension.load_inline("k").kernel() == 0
    assert sum(n for c in EVIDENCE.counts.values() for n in c.values()) == 1
    EVIDENCE.reset()


def test_a_tree_without_a_compiler_finds_none(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="is not in the tree"):
        Isolated(tmp_path, {}, {}).find_spec(compiled.MODULE)


def test_without_a_compiler_such_routes_are_said_not_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    chosen = tuple(route for route in ROUTES if _compiles(route))
    lost = {route.name for route in ROUTES} - {route.name for route in chosen}
    assert lost
    assert [note.partition(":")[0] for note in _uncompiled(ROUTES, chosen)] == [
        *dict.fromkeys(route.name for route in ROUTES if route.name in lost)
    ]
    with pytest.raises(Refusal) as refused:
        _needs_compiler()
    assert refused.value.code == Exit.UNAVAILABLE
