"""Packs patched trees and wheels for `ci/cuda run`; see ci/cuda."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine_pack import fetch

from patcher.tree.pins import PINNED
from verify.sides import source

TREES = {
    "0.5.6.post2": (
        "precompute", "fused-decode", "fan-out", "in-graph", "cuda-decode",
    ),
    "0.5.5.post3": ("cuda-decode",),
    "0.5.12.post1": ("cuda-decode", "fresh-plans"),
    "0.5.13.post1": ("cuda-decode", "fresh-plans"),
}  # fmt: skip
WHEELS = (
    "apache-tvm-ffi==0.1.9", "pydantic==2.13.4", "pydantic_core==2.46.4",
    "annotated-types==0.8.0", "typing-inspection==0.4.5",
)  # fmt: skip


def main(place: str) -> int:
    """Patched trees of the files that are looked at, and wheels."""
    folder = Path(place)
    for release, patches in TREES.items():
        with tempfile.TemporaryDirectory() as made:
            tree = Path(made) / "sglang"
            tool = [sys.executable, "-m"]
            checkout = [*tool, "patcher.cli.checkout", release, str(tree)]
            subprocess.run(checkout, check=True)
            names = [word for name in patches for word in ("--patch", name)]
            apply = [*tool, "patches.commands", "apply", str(tree), *names]
            subprocess.run(apply, check=True)
            home = tree / "python"
            manifest = "sglang/.nsa-opt/manifest.json"
            files = json.loads((home / manifest).read_text())["files"]
            wanted = {manifest, *PINNED, *(entry["path"] for entry in files)}
            wanted |= {*source.NEEDED, *source.IF_THERE, *source.COMPILER}
            wanted |= {*source.NEEDED_DSA, *source.IF_THERE_DSA}
            for name in wanted:
                target = folder / "trees" / release / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if (home / name).exists():
                    shutil.copyfile(home / name, target)
    (folder / "whl").mkdir(exist_ok=True)
    fetch(folder / "whl", *WHEELS)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
