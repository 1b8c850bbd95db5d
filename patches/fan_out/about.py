"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import NO_CALL, OWN_KERNEL, REPLAY_KERNEL

ABOUT = About(
    name="fan-out",
    version="1",
    summary="write every draft step's metadata in one Triton launch",
    source="document 001",
    gate="SGLANG_NSA_METADATA_FAN_OUT",
    sign="NSA_METADATA_FAN_OUT",
    families=("A", "B", "C"),
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
        RouteData(
            "fan-out",
            ("decode", "decode@runner"),
            must=(REPLAY_KERNEL,),
            must_not=(*NO_CALL, *OWN_KERNEL),
            every=(REPLAY_KERNEL, ("replay begun",)),
            shares=True,
            kernels=True,
            best=True,
            families=("C",),
        ),
    ),
)
