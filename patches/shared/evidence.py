"""What shows which code path ran, in the words of verify.worker.observe.evidence."""

from __future__ import annotations

NO_KERNEL = ("replay kernel *", "graph kernel *")
REPLAY_KERNEL = "replay kernel *_metadata_kernel*"
NO_CALL = ("replay call *",)
BASE_CALL = "replay call init_forward_metadata_replay_cuda_graph"
# What BASE_CALL is from 0.5.13 on.
ONE_REPLAY = "replay call _apply_cuda_graph_metadata"
PAIR = (
    "replay call _precompute_replay_metadata",
    "replay call init_forward_metadata_replay_cuda_graph_from_precomputed",
)
