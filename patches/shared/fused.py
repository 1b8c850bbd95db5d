"""What every patch with a Triton kernel inserts: the gate, the launcher, the kernels."""

from __future__ import annotations

from pathlib import Path

from patcher.steps import AddModule
from patches import SHARED
from patches.shared.anchors import gate

FUSED_GATE = "SGLANG_NSA_USE_TRITON_METADATA"
NSA = "sglang/srt/layers/attention/nsa"
KERNELS = f"{NSA}/triton_metadata_kernel.py"

FUSED_METADATA = (
    gate(FUSED_GATE),
    AddModule(file=f"{NSA}/fused_metadata.py", payload=SHARED / "fused_metadata.py"),
    AddModule(file=KERNELS, payload=SHARED / "triton_metadata_kernel.py"),
)


def kernels(payload: Path) -> AddModule:
    """The step that adds a patch's own kernels to the one kernel module."""
    return AddModule(file=KERNELS, payload=payload / "triton_metadata_kernel.py")
