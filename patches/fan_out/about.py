"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import NO_CALL

ABOUT = About(
    name="fan-out",
    version="1",
    summary="write every draft step's metadata in one Triton launch",
    source="document 001",
    gate="SGLANG_NSA_METADATA_FAN_OUT",
    sign="FanOutTable",
    requires=("fused-decode",),
    routes=(
        RouteData(
            "fan-out",
            ("decode", "decode@runner"),
            must=("replay kernel *fan_out*",),
            must_not=NO_CALL,
            every=("replay kernel *fan_out*", ("replay begun",)),
            kernels=True,
            best=True,
        ),
    ),
)
