"""The steps for family C, whose runners call `init_forward_metadata_in_graph` themselves.

Source: sgl-project/sglang#29843 does this for another backend.
"""

from __future__ import annotations

from patcher.steps.cst.workspace import Step
from patches import HERE
from patches.in_graph.about import ABOUT
from patches.shared.anchors import INIT_STATE
from patches.shared.dsa import IN_GRAPH, OUT_GRAPH, SHARED_STEPS, prepend, read_gate

PAYLOAD = HERE / "in_graph" / "payload" / "dsa_backend.py"

FAMILY_C: tuple[Step, ...] = (
    *SHARED_STEPS,
    *read_gate(ABOUT.gate, PAYLOAD, "DSA_METADATA_IN_GRAPH"),
    *(
        prepend(PAYLOAD, "InGraphDispatch", method)
        for method in (INIT_STATE, OUT_GRAPH, IN_GRAPH)
    ),
)
