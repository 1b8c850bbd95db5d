"""What family C's graph runners stand on: base class, batch, graphs, for a single rank.

From 0.5.14 on these are upstream's own modules, which need a whole runtime; here their
few calls are answered by an outer loop and a graph.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from verify.worker.tree import fakes, family
from verify.worker.tree.stubs import Record, nothing

_SRT = "sglang.srt"
CUDA_GRAPH_RUNNER = f"{_SRT}.model_executor.cuda_graph_runner"


def on_stream(runner: Any, capture: Callable[[], None]) -> None:
    """Captures on a stream of the runner's own, where there are streams."""
    if torch.device(runner.model_runner.device).type != "cuda":
        runner.stream = None
        capture()
        return
    runner.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    runner.stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(runner.stream):
        capture()
    torch.cuda.current_stream().wait_stream(runner.stream)


class ShapeKey(NamedTuple):
    """What a graph is found by."""

    size: int
    variant_label: str | None = None


class Graphs:
    """What captures one shape, and replays it."""

    def __init__(self) -> None:
        self.captured: dict[ShapeKey, tuple[Any, Any]] = {}

    def capture_one(self, key: ShapeKey, run_once: Callable[[], Any], **_: Any) -> None:
        """Warms up twice, then captures, as upstream's does."""
        for _warm in range(2):
            torch.cuda.synchronize()
            run_once()
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run_once()
        self.captured[key] = graph, out

    replay_session = staticmethod(nothing)

    def replay(self, key: ShapeKey, forward_batch: Any) -> Any:
        graph, out = self.captured[key]
        graph.replay()
        return out


class DecodeCudaGraphRunner:
    """The base class, as far as the draft's runner leans on it (from 0.5.14 on)."""

    model_context = staticmethod(nothing)
    capture_bs: list[int]
    capture_one_shape: Callable[..., None]

    def capture(self) -> None:
        on_stream(self, self._capture_all)

    def _capture_all(self) -> None:
        for bs in reversed(self.capture_bs):
            self.capture_one_shape(bs, None)

    def _pad_to_bucket(self, raw_bs: int, sizes: list[int]) -> int:
        return sizes[bisect.bisect_left(sizes, raw_bs)]


class InputBuffers:
    """ForwardInputBuffers, for a single runner."""

    def share_buffers(self, exclude: tuple[str, ...] = ()) -> None:
        """There is nobody to share with."""


class ForwardBatch(Record):
    """With the methods that the runners call, and nothing of two batches that overlap."""

    tbo_children = tbo_parent_token_range = None

    def mark_forward_metadata_ready(self) -> None:
        self.ready = True

    def needs_forward_metadata_init(self) -> bool:
        return not vars(self).get("ready", False)


class PPProxyTensors:
    """What a stage of a pipeline hands on; there is none."""


class EagleDraftInput(Record):
    """With the sizes that 0.5.13 and 0.5.14 ask it for."""

    @staticmethod
    def hidden_size_for(worker: Any) -> int:
        return fakes.HIDDEN

    @staticmethod
    def dtype_for(worker: Any) -> torch.dtype:
        return torch.float32


def _copy_all(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def no(*args: Any, **kwargs: Any) -> None:
    """What a single rank has to do for others."""


def overrides() -> dict[str, dict[str, Any]]:
    """Real answers for what the runner imports."""
    sizes: dict[str, Any] = {
        "get_batch_sizes_to_capture": lambda runner: (list(runner.capture), [])
    }
    dp = {
        "set_dp_buffer_len": no,
        "set_is_extend_in_batch": no,
        "deployment_attn_dp_size": lambda: 1,
    }
    return {
        CUDA_GRAPH_RUNNER: {
            "DeepEPCudaGraphRunnerAdapter": Record,
            "set_is_extend_in_batch": no,
        },
        f"{_SRT}.model_executor.runner": {
            **sizes,
            "DecodeCudaGraphRunner": DecodeCudaGraphRunner,
            "DeepEPCudaGraphRunnerAdapter": Record,
            "ShapeKey": ShapeKey,
            "_grouped_foreach_copy_": _copy_all,
            "model_capture_mode": nothing,
        },
        f"{_SRT}.model_executor.runner.flashinfer_autotune": {
            "maybe_flashinfer_autotune_speculative_draft": no
        },
        f"{_SRT}.model_executor.runner_backend.utils": {
            "resolve_decode_backend": lambda runner: Graphs()
        },
        f"{_SRT}.model_executor.runner_backend_utils": {
            "CUDA_GRAPH_CAPTURE_FAILED_MSG": ""
        },
        f"{_SRT}.model_executor.forward_context": {
            "ForwardContext": Record,
            "forward_context": nothing,
        },
        f"{_SRT}.model_executor.input_buffers": {"ForwardInputBuffers": InputBuffers},
        f"{_SRT}.layers.dp_attention": dp,
        f"{_SRT}.sampling.sampling_batch_info": {"SamplingBatchInfo": Record},
        f"{_SRT}.sampling.sampling_params": {"TOP_K_ALL": 1 << 30},
        f"{_SRT}.speculative.eagle_info": {"EagleDraftInput": EagleDraftInput},
        f"{_SRT}.speculative.eagle_utils": {
            "get_draft_recurrent_hidden_state_spec": lambda runner: (
                fakes.HIDDEN,
                torch.float32,
            )
        },
        f"{_SRT}.speculative.spec_utils": {
            "resolve_num_tokens_per_req": lambda **_: 1,
            "maybe_detect_nan": no,
            "maybe_detect_oob": no,
        },
        f"{_SRT}.utils.async_probe": {"maybe_detect_nan": no, "maybe_detect_oob": no},
        f"{_SRT}.utils.device_timer": {"device_timer_ctx": nothing},
    }


def complete(forward_batch_info: Any) -> None:
    """Put into the module what the runner takes from it beside `ForwardMode`."""
    vars(forward_batch_info).update(
        ForwardBatch=ForwardBatch,
        CaptureHiddenMode=Record(NULL=0, LAST=1, FULL=2),
        PPProxyTensors=PPProxyTensors,
        build_inner_fb_view=family.inner_view,
        enable_num_token_non_padded=lambda *_: False,
        get_required_capture_hidden_mode=lambda mode, spec: spec.capture_hidden_mode,
        _dp_tp_moe_masks_pad_rows=lambda: False,
    )
