"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import NO_CALL, REPLAY_KERNEL
from patches.shared.releases import NOT_ON_A_GPU

ABOUT = About(
    name="fan-out",
    version="1",
    summary="write every draft step's metadata in one Triton launch",
    source="document 001",
    gate="SGLANG_NSA_METADATA_FAN_OUT",
    sign="NSA_METADATA_FAN_OUT",
    families=("A", "B"),
    ask={"B": NOT_ON_A_GPU},
    routes=(
        RouteData(
            "fan-out",
            ("decode", "decode@runner"),
            must=(REPLAY_KERNEL,),
            must_not=NO_CALL,
            every=(REPLAY_KERNEL, ("replay begun",)),
            shares=True,
            kernels=True,
            best=True,
        ),
    ),
)
