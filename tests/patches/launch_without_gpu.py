"""Launches the kernel module of argv[1] through Triton's own launcher and a fake driver.

argv[2]: the fake libcuda.so.1. Run by test_direct_launch.py, with any Triton on the path.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver as nvidia

STREAM = 0x5151


class Driver(nvidia.CudaDriver):  # type: ignore[misc]
    """An H200 that is not there."""

    def __init__(self) -> None:
        self.utils = nvidia.CudaUtils()
        self.launcher_cls = nvidia.CudaLauncher
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda device: STREAM
        self.get_device_capability = lambda device=0: (9, 0)

    def get_current_target(self) -> Any:
        return GPUTarget("cuda", 90, 32)


class Metadata:
    """Like NSAMetadata and DSAMetadata: named buffers, which can be referred to weakly."""

    def __init__(self, bs: int, tokens: int) -> None:
        def new(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, dtype=torch.int32)

        self.page_size = 64
        self.cache_seqlens_int32, self.cu_seqlens_k = new(bs), new(bs + 1)
        self.nsa_seqlens_expanded = self.dsa_seqlens_expanded = new(tokens)
        self.nsa_cache_seqlens_int32 = self.dsa_cache_seqlens_int32 = new(tokens)
        self.nsa_cu_seqlens_k = self.dsa_cu_seqlens_k = new(tokens + 1)
        self.page_table_1, self.real_page_table = new(tokens, 4096), new(tokens, 64)
        self.paged_mqa_schedule_metadata = new(133, 2)
        self.topk_v2_plan = new(bs + 1, 2)


def makes_schedules(module: Any) -> bool:
    """Whether the kernel makes DeepGEMM's schedule too."""
    return hasattr(module, "find_remainder")


def launch(module: Any, fake: Any, m: Metadata, bs: int, **mode: Any) -> None:
    """One launch; what reached the driver is what was handed over."""
    dtype = mode.pop("dtype")
    lens = torch.zeros(bs, dtype=dtype)
    rows = torch.zeros(bs, dtype=torch.int64)
    pool = mode.pop("pool")
    before = fake.launched()
    schedule: tuple[torch.Tensor, ...] = ()
    if makes_schedules(module):
        decodes = mode.keys() <= {"dtype"}
        mode["remainder"] = "last" if decodes else None
        schedule = (m.paged_mqa_schedule_metadata if decodes else m.cu_seqlens_k,)
    assert module.fill_metadata_inplace(m, bs, lens, rows, pool, 2048, **mode)
    assert fake.launched() == before + 1
    extend = mode.get("extend_seq_lens")
    tensors = (
        *(lens, rows, lens if extend is None else extend, pool),
        *(m.cache_seqlens_int32, m.cu_seqlens_k, m.nsa_seqlens_expanded),
        *(m.nsa_cache_seqlens_int32, m.nsa_cu_seqlens_k),
        *(m.page_table_1, m.real_page_table, *schedule),
    )
    given_are(fake, tensors, [pool.stride(0), 4096, 64, 4096, 2048], bs)


def launch_draft(module: Any, fake: Any, m: Metadata, bs: int, **mode: Any) -> None:
    """The same of family C's kernel from 0.5.15 on."""
    lens = torch.zeros(bs, dtype=mode["dtype"])
    rows = torch.zeros(bs, dtype=torch.int64)
    pool, remainder, limits = mode["pool"], mode["remainder"], mode["limits"]
    before = fake.launched()
    given = (m, lens, rows, pool, 2048, remainder, limits)
    assert module.fill_draft_metadata(*given)
    assert fake.launched() == before + 1
    tensors = (
        *(lens, rows, pool, m.cache_seqlens_int32, m.cu_seqlens_k),
        *(m.dsa_cache_seqlens_int32, m.dsa_cu_seqlens_k),
        *(m.page_table_1, m.real_page_table),
        m.real_page_table if remainder is None else m.paged_mqa_schedule_metadata,
        m.real_page_table if limits is None else m.topk_v2_plan,
        m.real_page_table if limits is None else limits,
    )
    given_are(fake, tensors, [pool.stride(0), 4096, 64, 4096, 2048], bs)


def given_are(
    fake: Any, tensors: tuple[torch.Tensor, ...], numbers: list[int], bs: int
) -> None:
    """Addresses, numbers, grid and stream of the last launch."""
    given = [fake.argument(i) for i in range(len(tensors) + len(numbers))]
    assert given[: len(tensors)] == [t.data_ptr() for t in tensors]
    found = [number & 0xFFFFFFFF for number in given[len(tensors) :]]
    assert found == numbers, found
    assert (fake.grid(1), fake.stream()) == (bs + 1, STREAM)


def main() -> None:
    """Every mode three times: compiled, kept, kept; then other buffers."""
    fake = ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)
    fake.argument.restype = fake.stream.restype = ctypes.c_ulonglong
    triton.runtime.driver.set_active(Driver())
    spec = importlib.util.spec_from_file_location("kernel_under_test", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    fake.expect(17 if makes_schedules(module) else 16)
    one_launch = launch_draft if hasattr(module, "fill_draft_metadata") else launch
    accepted = torch.zeros(64, dtype=torch.int32)
    modes: tuple[tuple[int, dict[str, Any]], ...] = (
        (2, {"dtype": torch.int64}),
        (2, {"dtype": torch.int32, "draft_tokens": 4}),
        (64, {"dtype": torch.int64, "extend_seq_lens": accepted}),
    )
    if one_launch is launch_draft:
        limits = torch.zeros(16, 2, dtype=torch.int32)
        modes = (
            (2, {"dtype": torch.int64, "remainder": "last", "limits": limits}),
            (2, {"dtype": torch.int32, "remainder": "last", "limits": limits}),
            (64, {"dtype": torch.int64, "remainder": None, "limits": None}),
        )
    for bs, mode in modes:
        pool = torch.zeros(bs, 4100, dtype=torch.int32)
        m = Metadata(bs, bs * 4)
        known = len(module._launches)
        for _ in range(3):
            one_launch(module, fake, m, bs, pool=pool, **mode)
        assert len(module._launches) == known + 1
        # The same object, another pool; then other buffers.
        one_launch(module, fake, m, bs, pool=pool.clone(), **mode)
        one_launch(module, fake, Metadata(bs, bs * 4), bs, pool=pool, **mode)
        if one_launch is launch_draft:
            # The same buffers, but for the schedule and the plan.
            mode |= {"remainder": None, "limits": None}
            one_launch(module, fake, m, bs, pool=pool, **mode)
    compiled = 5 if one_launch is launch_draft else 3
    assert len(module._compiled) == compiled
    print(f"Triton {triton.__version__}: every launch was given what it should be")


if __name__ == "__main__":
    main()
