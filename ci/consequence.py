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
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from consequence_replay import BACKEND, STEPS

RELEASE = "0.5.23"
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
        script = Path(__file__).with_name("consequence_side.py").resolve()
        command = [sys.executable, str(script), str((folder / side).resolve())]
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
    return "\n".join(lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("pack", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.do == "pack":
        pack(given.folder)
    else:
        run(given.folder, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
