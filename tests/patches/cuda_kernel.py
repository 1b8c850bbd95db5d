"""cuda-decode's kernel compiled for the host, and a launch held against the definition."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from patches import HERE
from tests.patches import run
from tests.patches.kernels import DEVICE, load
from tests.patches.reference import POISON, Buffers, Case, outputs
from verify.worker.tree import compiled

PAYLOAD = HERE / "cuda_decode" / "payload"
NAME = "cuda_metadata_kernel"
SOURCE = (PAYLOAD / f"{NAME}.cuh").read_text()

on_host = pytest.mark.skipif(
    shutil.which("g++") is None or DEVICE != "cpu",
    reason="compiles for the host: needs g++, and tensors on the CPU",
)


@contextmanager
def compiler(module: ModuleType) -> Iterator[None]:
    """Meanwhile this is what a tree finds as its own compiler."""
    names = ("sglang", "sglang.jit_kernel", compiled.MODULE)
    stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    with pytest.MonkeyPatch.context() as patch:
        for name in names[:2]:
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, compiled.MODULE, module)
        if stream is None or DEVICE == "cpu":
            patch.setattr(
                torch._C, "_cuda_getCurrentRawStream", lambda device: 0, raising=False
            )
        yield


def unloaded(source: str = SOURCE) -> Any:
    """The payload's module beside this source, its kernel not yet compiled."""
    module: Any = load(NAME, (PAYLOAD / f"{NAME}.py").read_text())
    Path(module.__file__).with_suffix(".cuh").write_text(source)
    return module


def kernel(source: str = SOURCE) -> Any:
    """The same, with the kernel compiled for the host. Needs `compiler`."""
    module = unloaded(source)
    module.load_decode_metadata_kernel()
    assert module.has_decode_metadata_kernel()
    return module


def decode(
    module: Any, case: Case, cols: int | None = None, zero: bool = False
) -> None:
    """One launch into poisoned buffers; every byte of them is checked.

    cols: columns that the caller allows, all of the page table's if there are none.
    """
    buffers, out = run.decode_buffers(case)
    if zero:
        for name in ("cu_seqlens_k", "nsa_cu_seqlens_k"):
            buffers.expect(name, out[name], torch.zeros(1, dtype=torch.int32))
    given = run.inputs(case)
    pages = out.pop("page_table")
    assert module.precompute_decode_metadata_cuda(
        **given,
        **out,
        page_indices=pages,
        **({} if case.page_size > 1 else {"real_page_table": None}),
        max_len=pages.shape[1] if cols is None else cols,
        nsa_index_topk=case.topk,
        real_page_size=case.page_size,
        leading_zero=zero,
    )
    buffers.check()


def limited(module: Any, case: Case, cols: int) -> None:
    """No column past the caller's limit is written, and all before it are."""
    out = outputs(case, Buffers(), case.bs, expanded=False)
    pages = out.pop("page_table")
    assert module.precompute_decode_metadata_cuda(
        **run.inputs(case),
        **out,
        page_indices=pages,
        real_page_table=None,
        max_len=cols,
        nsa_index_topk=case.topk,
        real_page_size=1,
        leading_zero=False,
    )
    assert (pages[:, :cols] != POISON).all()
    assert (pages[:, cols:] == POISON).all()


def lengths(bs: int, context: int) -> tuple[int, ...]:
    """Random ones, of which none but one in the middle is the longest."""
    rng = torch.Generator().manual_seed(bs)
    found = torch.randint(1, max(2, context), (bs,), generator=rng).tolist()
    found[bs // 2] = context
    return tuple(found)


# Together they meet every path of the kernel: one block and many, rows that begin on
# 16 bytes and not, batches below and above a warp's and a block's share.
BATTERY = (
    Case(seq_lens=(1,), context=1),
    Case(seq_lens=lengths(3, 65), context=65, page_size=32, topk=50),
    Case(seq_lens=lengths(31, 64), context=64, page_size=1, topk=9),
    Case(seq_lens=lengths(33, 80), context=80, topk=60, dtype=torch.int64),
    Case(seq_lens=lengths(129, 17), context=17, page_size=4, topk=5, draft_tokens=3),
    Case(seq_lens=lengths(257, 40), context=40, page_size=16, topk=30),
    Case(seq_lens=lengths(530, 9), context=9, page_size=4, topk=4, draft_tokens=3),
    Case(seq_lens=(9001, *[3] * 7), context=9004, page_size=64, dtype=torch.int64),
    # So many that a row has one block, which goes through it several times.
    Case(seq_lens=lengths(600, 2101), context=2104, page_size=4),
)


def battery(module: Any) -> None:
    """Raises AssertionError where some launch does not write what it should."""
    for case in BATTERY:
        decode(module, case, zero=case.bs % 2 == 0)
        decode(module, case, cols=max(case.seq_lens), zero=case.bs % 2 == 1)
    limited(module, Case(seq_lens=(130, 70), context=200, page_size=1), cols=100)
