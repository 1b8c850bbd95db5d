"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import (
    AddDefinitions,
    AddMethods,
    AppendToBody,
    PrependToBody,
    RequireKnown,
)
from patches import HERE
from patches.fan_out.about import ABOUT
from patches.shared.anchors import CAPTURE, NSA_BACKEND, OLDER_NSA_BACKEND, REPLAY, gate
from patches.shared.fused import kernels

PAYLOAD = HERE / "fan_out" / "payload"
MULTI_STEP = "NativeSparseAttnMultiStepBackend"

PATCH = Patch(
    ABOUT,
    steps=(
        # Called for one step, its decision copied to the others.
        RequireKnown(
            file=NSA_BACKEND,
            symbol="NativeSparseAttnBackend.set_nsa_prefill_impl",
            may_lack=True,
        ),
        gate(ABOUT.gate),
        kernels(PAYLOAD),
        AddDefinitions(
            file=NSA_BACKEND,
            after="PrecomputedMetadata",
            payload=PAYLOAD / "nsa_backend.py",
            names=("FanOutTable",),
        ),
        PrependToBody(
            file=NSA_BACKEND,
            function=f"{MULTI_STEP}.__init__",
            payload=PAYLOAD / "nsa_backend.py",
            source="FanOutDispatch.__init__",
        ),
        AppendToBody(
            file=NSA_BACKEND,
            function=f"{MULTI_STEP}.{CAPTURE}",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"FanOutDispatch.{CAPTURE}",
        ),
        PrependToBody(
            file=NSA_BACKEND,
            function=f"{MULTI_STEP}.{REPLAY}",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"FanOutDispatch.{REPLAY}",
        ),
        AddMethods(
            file=NSA_BACKEND,
            cls=MULTI_STEP,
            after=REPLAY,
            payload=PAYLOAD / "nsa_backend.py",
            source="FanOut",
            adapt=OLDER_NSA_BACKEND,
        ),
    ),
)
