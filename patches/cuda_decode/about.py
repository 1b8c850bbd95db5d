"""Compute a decode batch's metadata in one CUDA launch, compiled in the tree.

Source: document 001, as the CUDA kernel that it describes.
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import BASE_CALL, NO_CALL, PAIR
from patches.shared.releases import GENERATING, OWN_GENERATION

# A profiler says its namespace and types too.
LAUNCH = "replay kernel *decode_metadata_kernel*"
TRITON = "* kernel _metadata_kernel*"

ABOUT = About(
    name="cuda-decode",
    version="1",
    summary="compute the draft steps' metadata in one CUDA launch",
    source="document 001",
    gate="SGLANG_NSA_USE_CUDA_METADATA",
    sign="NSA_USE_CUDA_METADATA",
    default=False,
    families=("A", "B", "C"),
    unfit=dict.fromkeys(GENERATING, OWN_GENERATION),
    routes=(
        RouteData(
            "cuda",
            ("decode", "decode@runner"),
            must=(BASE_CALL, LAUNCH),
            must_not=(*PAIR, TRITON),
            every=(LAUNCH, (BASE_CALL,)),
            kernels=True,
            compiles=True,
            families=("A",),
        ),
        RouteData(
            "cuda-decode",
            ("decode", "decode@runner"),
            beside=("precompute",),
            must=(*PAIR, LAUNCH),
            must_not=(BASE_CALL, TRITON),
            every=(LAUNCH, PAIR),
            kernels=True,
            compiles=True,
            families=("A",),
        ),
        RouteData(
            "cuda-fan-out",
            ("decode", "decode@runner"),
            beside=("fan-out",),
            must=(LAUNCH,),
            must_not=(*NO_CALL, TRITON),
            every=(LAUNCH, ("replay begun",)),
            shares=True,
            kernels=True,
            compiles=True,
            best=True,
            families=("A",),
        ),
        RouteData(
            "cuda-in-graph",
            ("decode@runner",),
            beside=("in-graph",),
            must=("graph kernel *decode_metadata_kernel*",),
            must_not=(*NO_CALL, "replay kernel *", TRITON),
            shares=True,
            kernels=True,
            compiles=True,
            best=True,
            families=("A",),
        ),
        RouteData(
            "no-compiler",
            ("decode",),
            blocked=("cuda.compile",),
            must=(BASE_CALL, "replay kernel _metadata_kernel*"),
            must_not=(*PAIR, LAUNCH),
            brief=True,
            timed=False,
            families=("A",),
        ),
        *(
            RouteData(
                "cuda-decode",
                ("decode",),
                beside=("precompute",),
                must=(PAIR[0], LAUNCH),
                every=(LAUNCH, PAIR[:1]),
                kernels=True,
                compiles=True,
                families=(family,),
            )
            for family in ("B", "C")
        ),
        *(
            RouteData(
                "no-compiler",
                ("decode",),
                beside=("precompute",),
                blocked=("cuda.compile",),
                must=PAIR[:1],
                must_not=(LAUNCH,),
                kernels=True,
                timed=False,
                families=(family,),
            )
            for family in ("B", "C")
        ),
    ),
)
