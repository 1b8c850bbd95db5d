"""Fill the draft steps' metadata inside their CUDA graph: a replay launches nothing.

Source: what documents 001 and 004 leave as the future, "the full metadata pipeline".
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import (
    BASE_CALL,
    NO_CALL,
    NO_KERNEL,
    OWN_KERNEL,
    REPLAY_KERNEL,
)

ABOUT = About(
    name="in-graph",
    version="1",
    summary="fill the draft steps' metadata inside their CUDA graph",
    source="documents 001 and 004",
    gate="SGLANG_NSA_METADATA_IN_GRAPH",
    sign="NSA_METADATA_IN_GRAPH",
    families=("A", "B", "C"),
    routes=(
        RouteData(
            "in-graph",
            ("decode@runner",),
            must=("graph kernel *_metadata_kernel*",),
            must_not=(*NO_CALL, "replay kernel *"),
            shares=True,
            kernels=True,
            best=True,
        ),
        RouteData(
            "not-in-graph",
            ("decode",),
            must=(REPLAY_KERNEL,),
            must_not=NO_CALL,
            every=(REPLAY_KERNEL, ("replay begun",)),
            shares=True,
            kernels=True,
            timed=False,
        ),
        RouteData(
            "no-kernel",
            ("decode@runner",),
            blocked=("triton.compile",),
            must=(BASE_CALL,),
            must_not=NO_KERNEL,
            shares=True,
            brief=True,
            timed=False,
        ),
        RouteData(
            "in-graph",
            ("decode@runner",),
            must=("graph kernel *_metadata_kernel*",),
            must_not=(*NO_CALL, "replay kernel *", *OWN_KERNEL),
            shares=True,
            kernels=True,
            best=True,
            families=("C",),
        ),
        RouteData(
            "not-in-graph",
            ("decode",),
            must=(REPLAY_KERNEL,),
            must_not=(*NO_CALL, *OWN_KERNEL),
            every=(REPLAY_KERNEL, ("replay begun",)),
            shares=True,
            kernels=True,
            timed=False,
            families=("C",),
        ),
    ),
)
