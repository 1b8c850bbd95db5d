"""What shows which code path ran, in the words of verify.worker.observe.evidence."""

from __future__ import annotations

NO_KERNEL = ("replay kernel *", "graph kernel *")
REPLAY_KERNEL = "replay kernel *_metadata_kernel*"
NO_CALL = ("replay call *",)
BASE_CALL = "replay call init_forward_metadata_replay_cuda_graph"
# The release's own, from 0.5.15 on.
OWN_KERNEL = ("replay kernel _fused_dsa_*", "graph kernel _fused_dsa_*")
PAIR = (
    "replay call _precompute_replay_metadata",
    "replay call init_forward_metadata_replay_cuda_graph_from_precomputed",
)
