"""Every variant of the kernel compiles for an H200; no GPU is needed for that.

The interpreter does not mind what the compiler refuses: a name that changes its type in a
loop, for instance.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from patches import SHARED
from tests.patches.kernels import kernel_module, scheduling_module

COMPILE = """
import itertools, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
sys.path.insert(0, sys.argv[1])
from kernel_under_test import _metadata_kernel as kernel

def types(bits, constexprs):
    for p in kernel.params:
        if p.is_constexpr:
            yield p.name, "constexpr"
        elif p.name in ("seq_lens", "req_pool_indices"):
            yield p.name, f"*i{bits}"
        elif "stride" in p.name or p.name in ("max_cols", "nsa_index_topk"):
            yield p.name, "i32"
        else:
            yield p.name, "*i32"

names = {p.name for p in kernel.params}
schedules = ({"NUM_SMS": 0, "REMAINDER": None}, {"NUM_SMS": 132, "REMAINDER": "last"})
for schedule, (draft, extend), aligned, page, (cols, seqs), bits in itertools.product(
    schedules if "NUM_SMS" in names else ({},),
    ((0, False), (4, False), (0, True)), (True, False), (1, 64),
    ((512, 32), (1024, 64), (1024, 512)), (32, 64),
):
    if (not aligned or page == 1 or seqs == 512) and bits == 32:
        continue
    if schedule and (extend or seqs == 64 or not aligned):
        continue
    constexprs = dict(
        DRAFT_TOKENS=draft, EXTEND=extend, ALIGNED=aligned, PAGE_SIZE=page,
        BLOCK_COLS=cols, MAX_SEQS=seqs, **schedule,
    )
    source = ASTSource(kernel, dict(types(bits, constexprs)), constexprs, {})
    target = GPUTarget("cuda", 90, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": 4})
    wide = "st.global.v4" in compiled.asm["ptx"]
    assert wide == aligned, (constexprs, "stores of 16 bytes", wide)
"""

COMPILE_DRAFT = """
import itertools, re, subprocess, sys
from pathlib import Path
import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
sys.path.insert(0, sys.argv[1])
from kernel_under_test import (
    _draft_metadata_kernel, _schedule_kernel, _topk_plan_kernel
)

def compiled(kernel, bits, **constexprs):
    types = {}
    for p in kernel.params:
        if p.name in constexprs:
            types[p.name] = "constexpr"
        elif p.name in ("seq_lens", "req_pool_indices"):
            types[p.name] = f"*i{bits}"
        elif "stride" in p.name or p.name in ("bs", "max_cols", "dsa_index_topk"):
            types[p.name] = "i32"
        else:
            types[p.name] = "*i32"
    source = ASTSource(kernel, types, constexprs, {})
    target = GPUTarget("cuda", 90, 32)
    done = triton.compile(source, target=target, options={"num_warps": 4})
    return done.asm["ptx"]

def registers(ptx):
    file = Path(sys.argv[1], "kernel.ptx")
    file.write_text(ptx)
    ptxas = Path(triton.backends.nvidia.__file__).parent / "bin" / "ptxas"
    said = subprocess.run(
        [ptxas, "-v", "-arch=sm_90a", file, "-o", file.with_suffix(".cubin")],
        capture_output=True, text=True, check=True,
    ).stderr
    return int(re.search(r"Used (\\d+) registers", said)[1])

for (has, aligned, page, cols), (sms, remainder), bits in itertools.product(
    ((True, True, 64, 512), (True, False, 64, 2048), (True, True, 1, 2048),
     (False, False, 64, 128 * 64)),
    ((0, None), (132, "first"), (132, "last")), (32, 64),
):
    if sms == 0 and bits == 32:
        continue
    ptx = compiled(
        _draft_metadata_kernel, bits, HAS_PAGE_TABLE=has, ALIGNED=aligned,
        PAGE_SIZE=page, BLOCK_COLS=cols, NUM_SMS=sms, REMAINDER=remainder,
        NUM_LIMITS=16 if sms else 0,
    )
    wide = "st.global.v4" in ptx
    assert wide == aligned, (has, aligned, page, "stores of 16 bytes", wide)
    # A program has those of the plans too; above 40, fewer than 12 fit into an SM.
    if aligned or not has:
        assert registers(ptx) <= 40, (has, aligned, page, cols, sms)
compiled(_schedule_kernel, 32, NUM_SMS=132, REMAINDER="first")
compiled(_topk_plan_kernel, 32, NUM_LIMITS=16)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler is for Linux")
@pytest.mark.parametrize(
    ("text", "program"),
    [
        (kernel_module, COMPILE),
        (scheduling_module, COMPILE),
        ((SHARED / "triton_draft_metadata_kernel.py").read_text, COMPILE_DRAFT),
    ],
    ids=["family A", "family B", "family C"],
)
def test_every_variant_compiles_and_aligned_ones_store_16_bytes(
    text: Callable[[], str], program: str, tmp_path: Path
) -> None:
    (tmp_path / "kernel_under_test.py").write_text(text())
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
