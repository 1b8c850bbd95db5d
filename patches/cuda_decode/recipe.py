"""Compute a decode batch's metadata in one CUDA launch, compiled in the tree.

Source: document 001, as the CUDA kernel that it describes.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import (
    Adapt,
    AddFile,
    AddMethods,
    AddModule,
    PrependToBody,
    RequireKnown,
    Step,
    Where,
)
from patches import HERE
from patches.cuda_decode.about import ABOUT
from patches.fused_decode.recipe import COMPUTE, PRECOMPUTE, WITH_PRECOMPUTE
from patches.shared.anchors import (
    DSA_BACKEND,
    DSA_SPELLING,
    INIT_STATE,
    NSA_BACKEND,
    OWN_PRECOMPUTE,
    REPLAY,
    gate,
)
from patches.shared.fused import FILL_METADATA, prepend, read_gate
from patches.shared.kernels import KERNELS

PAYLOAD = HERE / "cuda_decode" / "payload"
NSA = "sglang/srt/layers/attention/nsa"
DSA = "sglang/srt/layers/attention/dsa"
DECODE = "_precompute_decode_mode"


def kernel(folder: str) -> tuple[Step, ...]:
    """The steps that add the kernel, and the module that compiles and launches it."""
    name = "cuda_metadata_kernel"
    return (
        AddModule(file=f"{folder}/{name}.py", payload=PAYLOAD / f"{name}.py"),
        AddFile(file=f"{folder}/{name}.cuh", payload=PAYLOAD / f"{name}.cuh"),
    )


FAMILY_A: tuple[Step, ...] = (
    *FILL_METADATA,
    *read_gate(ABOUT.gate, PAYLOAD, "NSA_USE_CUDA_METADATA"),
    *kernel(NSA),
    prepend(PAYLOAD, "CudaKernel", INIT_STATE),
    # First in what all patches call; what it cannot do is left to Triton.
    PrependToBody(
        file=KERNELS,
        function="fill_metadata_inplace",
        payload=PAYLOAD / "triton_metadata_kernel.py",
        source="fill_metadata_inplace",
    ),
    prepend(PAYLOAD, "CudaDecodeDispatch", REPLAY),
    *COMPUTE,
    *(
        Where(prepend(PAYLOAD, "CudaDecodeDispatch", m), when=WITH_PRECOMPUTE)
        for m in (PRECOMPUTE, f"{REPLAY}_from_precomputed")
    ),
)


def in_own_precompute(
    backend: str,
    cls: str,
    folder: str,
    precompute: str,
    section: str,
    adapt: tuple[Adapt, ...] = (),
) -> tuple[Step, ...]:
    """The steps for a release that computes once and copies by itself."""
    mixin = f"{cls}MTPPrecomputeMixin"
    payload = PAYLOAD / "nsa_backend_mtp_precompute.py"
    return (
        RequireKnown(file=precompute, symbol=f"{mixin}.{DECODE}"),
        gate(ABOUT.gate, section),
        *kernel(folder),
        PrependToBody(
            file=backend,
            function=f"{cls}.{INIT_STATE}",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"CudaKernelByEnvironment.{INIT_STATE}",
            adapt=adapt,
        ),
        AddMethods(
            file=precompute,
            cls=mixin,
            after=DECODE,
            payload=payload,
            source="CudaDecode",
            adapt=adapt,
        ),
        PrependToBody(
            file=precompute,
            function=f"{mixin}.{DECODE}",
            payload=payload,
            source=f"CudaDecodeDispatch.{DECODE}",
            adapt=adapt,
        ),
    )


FAMILY_B = in_own_precompute(
    NSA_BACKEND, "NativeSparseAttnBackend", NSA, OWN_PRECOMPUTE, "NSA Backend"
)
FAMILY_C = in_own_precompute(
    DSA_BACKEND,
    "DeepseekSparseAttnBackend",
    DSA,
    f"{DSA}/dsa_backend_mtp_precompute.py",
    "DSA Backend",
    DSA_SPELLING,
)

PATCH = Patch(
    ABOUT,
    steps=(
        *(Where(step, lacks=OWN_PRECOMPUTE) for step in FAMILY_A),
        *(Where(step, has=OWN_PRECOMPUTE, lacks=DSA_BACKEND) for step in FAMILY_B),
        *(Where(step, has=DSA_BACKEND) for step in FAMILY_C),
    ),
)
