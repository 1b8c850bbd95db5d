"""What a tree is answered, by module: one process, one H200-like CUDA rank, no extras.

What is not here, and no stand-in, is a placeholder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from verify.worker.tree import fakes, family, runner, standins
from verify.worker.tree.stubs import Record, const, nothing

Answers = dict[str, dict[str, Any]]

_SRT = "sglang.srt"
_CUDA_GRAPH_RUNNER = f"{_SRT}.model_executor.cuda_graph_runner"
# What a runner sets to zero past a batch's end (from 0.5.22 on held against a list).
_ZEROED = frozenset(
    {
        "req_pool_indices",
        "out_cache_loc",
        "positions",
        "mrope_positions",
        "mamba_track_indices",
        "mamba_track_mask",
    }
)


def isolated(index_topk: Callable[[], int], *, dsa: bool) -> Answers:
    """Of stubs. The parts that releases moved are in other modules, so all are answered."""
    asked = [_runtime(index_topk), _draft(), _dsa_draft()]
    if dsa:
        asked += [_dsa_runtime(index_topk), _dsa_verify()]
    found: Answers = {}
    for answers in asked:
        for name, members in answers.items():
            found[name] = {**found.get(name, {}), **members}
    return found


def installed() -> Answers:
    """Of the installed sglang's own modules."""
    return {**_single_process(), **_draft()}


class PaddingMode:
    """Stands for sglang's padding mode: always the longest."""

    @staticmethod
    def get_default_mode_in_cuda_graph(*_: Any) -> PaddingMode:
        return PaddingMode()

    def is_max_len(self) -> bool:
        return True


def _env_bool(name: str, default: str = "false") -> bool:
    return os.environ.get(name, default).lower() in ("true", "1")


_NOTHING = const(None)


def _sizes(runner: Any, *_: Any, **__: Any) -> tuple[list[int], list[int]]:
    return list(runner.capture), []


def _single_process() -> Answers:
    """Answers that a real sglang takes from its distributed set-up, here for one rank."""
    return {
        "sglang.srt.layers.dp_attention": {
            "get_attention_tp_size": const(1),
            "DpPaddingMode": PaddingMode,
            "set_dp_buffer_len": _NOTHING,
        },
        "sglang.srt.utils": {
            name: const(False)
            for name in (
                "require_attn_tp_gather",
                "require_gathered_buffer",
                "require_mlp_sync",
                "require_mlp_tp_gather",
            )
        },
    }


def _runtime(index_topk: Callable[[], int]) -> Answers:
    """What any release asks."""
    questions = {
        "is_cuda": const(True),
        "is_hip": const(False),
        "is_npu": const(False),
        "is_cpu": const(False),
        "is_xpu": const(False),
        "is_blackwell": const(False),
        "get_device_sm": const(90),
        "get_bool_env_var": _env_bool,
        "ceil_div": lambda a, b: -(-a // b),
        "ceil_align": lambda a, b: -(-a // b) * b,
        "require_attn_tp_gather": const(False),
        "require_gathered_buffer": const(False),
        "require_mlp_sync": const(False),
        "require_mlp_tp_gather": const(False),
    }
    server_args = Record(enable_nsa_prefill_context_parallel=False)
    return {
        "sglang.srt.utils": questions,
        "sglang.srt.utils.common": questions,
        "sglang.srt.configs.model_config": {
            "is_deepseek_nsa": const(True),
            "get_nsa_index_topk": lambda *a, **k: index_topk(),
        },
        "sglang.srt.layers.dp_attention": {
            "get_attention_tp_size": const(1),
            "get_attention_tp_rank": const(0),
            "get_attention_cp_size": const(1),
            "get_attention_cp_rank": const(0),
            "DpPaddingMode": PaddingMode,
        },
        "sglang.srt.layers.attention.utils": {
            "seqlens_expand_triton": standins.seqlens_expand,
        },
        "sglang.srt.server_args": {"get_global_server_args": const(server_args)},
        "sglang.srt.speculative.eagle_info": {"EagleDraftInput": Record},
        "sglang.kernel_api_logging": {"debug_kernel_api": lambda f: f},
    }


def _dsa_runtime(index_topk: Callable[[], int]) -> Answers:
    """What family C asks beside it."""
    no = const(False)
    one = Record(
        attn_tp_size=1,
        attn_tp_rank=0,
        attn_cp_size=1,
        attn_cp_rank=0,
        attn_dcp_size=1,
        attn_dcp_rank=0,
        dcp_enabled=False,
    )
    utils = {
        "is_gfx95_supported": no,
        "is_sm100_supported": no,
        "is_musa": no,
        "is_in_ci": no,
        "print_warning_once": _NOTHING,
    }
    expand = {"seqlens_expand_triton": standins.seqlens_expand}
    region = Record(region=nothing)
    return {
        "sglang.srt.utils": utils,
        "sglang.srt.utils.common": utils,
        "sglang.srt.utils.torch_memory_saver_adapter": {
            "TorchMemorySaverAdapter": Record(create=lambda **k: region)
        },
        "sglang.srt.configs.model_config": {
            "is_deepseek_dsa": const(True),
            "get_dsa_index_topk": lambda *a, **k: index_topk(),
            "get_dsa_index_kpool": const(1),
        },
        "sglang.srt.runtime_context": {
            "get_exec": family.asked("get_exec"),
            "get_spec": family.asked("get_spec"),
            "get_parallel": lambda: one,
            "get_platform": lambda: Record(is_sm100=False),
            "get_schedule": lambda: Record(enable_mixed_chunk=False),
            "get_disagg": lambda: Record(disaggregation_mode="null"),
            "get_flags": lambda: Record(capture=Record(enable_torch_compile=False)),
            "get_memory": lambda: Record(enable_hisparse=False),
        },
        "sglang.srt.layers.attention.utils": expand,
        "sglang.srt.layers.attention.triton_ops.pad": expand,
        "sglang.kernels.ops.attention.utils": expand,
        "sglang.kernels.ops.attention.pad": expand,
        "sglang.kernels.kernel_api_logging": {"debug_kernel_api": lambda f: f},
        "sglang.kernels.ops.attention.flash_mla_sm120": {
            "_validate_flashinfer_sparse_mla_backend": no
        },
        "sglang.srt.layers.attention.kv_shard_hooks": {"get_kv_shard_pool": _NOTHING},
    }


def _draft() -> Answers:
    """What the draft's runner imports from CudaGraphRunner's module."""
    return {
        _CUDA_GRAPH_RUNNER: {
            "CudaGraphRunner": runner.Captures,
            "CUDA_GRAPH_CAPTURE_FAILED_MSG": "",
            "model_capture_mode": nothing,
            "get_batch_sizes_to_capture": _sizes,
            "get_global_graph_memory_pool": lambda: runner.POOL[0],
            "set_global_graph_memory_pool": lambda it: runner.POOL.__setitem__(0, it),
        }
    }


def _dsa_draft() -> Answers:
    """What family C's draft runner imports."""
    return {
        _CUDA_GRAPH_RUNNER: {
            "DeepEPCudaGraphRunnerAdapter": Record,
            "set_is_extend_in_batch": _NOTHING,
        },
        f"{_SRT}.model_executor.runner": {
            "get_batch_sizes_to_capture": _sizes,
            "DecodeCudaGraphRunner": runner.DecodeCudaGraphRunner,
            "DeepEPCudaGraphRunnerAdapter": Record,
            "ShapeKey": runner.ShapeKey,
            "_grouped_foreach_copy_": _copy_all,
            "model_capture_mode": nothing,
        },
        f"{_SRT}.model_executor.runner.flashinfer_autotune": {
            "maybe_flashinfer_autotune_speculative_draft": _NOTHING
        },
        f"{_SRT}.model_executor.runner_backend.utils": {
            "resolve_decode_backend": lambda _: runner.Graphs()
        },
        f"{_SRT}.model_executor.runner_backend_utils": {
            "CUDA_GRAPH_CAPTURE_FAILED_MSG": ""
        },
        f"{_SRT}.model_executor.forward_context": {
            "ForwardContext": Record,
            "forward_context": nothing,
        },
        f"{_SRT}.model_executor.input_buffers": {
            "ForwardInputBuffers": runner.InputBuffers
        },
        f"{_SRT}.layers.dp_attention": {
            "set_dp_buffer_len": _NOTHING,
            "set_is_extend_in_batch": _NOTHING,
            "deployment_attn_dp_size": const(1),
        },
        f"{_SRT}.sampling.sampling_batch_info": {"SamplingBatchInfo": Record},
        f"{_SRT}.sampling.sampling_params": {"TOP_K_ALL": 1 << 30},
        f"{_SRT}.speculative.eagle_info": {"EagleDraftInput": runner.EagleDraftInput},
        f"{_SRT}.speculative.eagle_utils": {
            "get_draft_recurrent_hidden_state_spec": lambda runner: (
                fakes.HIDDEN,
                torch.float32,
            )
        },
        f"{_SRT}.speculative.spec_utils": {
            "resolve_num_tokens_per_req": lambda **_: 1,
            "maybe_detect_nan": _NOTHING,
            "maybe_detect_oob": _NOTHING,
        },
        f"{_SRT}.utils.async_probe": {
            "maybe_detect_nan": _NOTHING,
            "maybe_detect_oob": _NOTHING,
        },
        f"{_SRT}.utils.device_timer": {"device_timer_ctx": nothing},
    }


def _copy_all(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _dsa_verify() -> Answers:
    """What family C's DecodeCudaGraphRunner imports, in target_verify."""
    return {
        f"{_SRT}.model_executor.runner.base_cuda_graph_runner": {
            "BaseCudaGraphRunner": runner.BaseRunner,
            "get_batch_sizes_to_capture": _sizes,
        },
        f"{_SRT}.model_executor.runner.shape_key": {
            "ShapeKey": lambda size, **labels: runner.ShapeKey(size)
        },
        f"{_SRT}.model_executor.input_buffers": {
            "INDEX_SEMANTIC_BUFFERS": _ZEROED,
            "share_input_buffer": lambda name, buffer: buffer,
        },
        f"{_SRT}.layers.logits_processor": {
            "LogitsProcessorOutput": runner.LogitsProcessorOutput
        },
        f"{_SRT}.speculative.eagle_info": {"EagleVerifyInput": Record},
        f"{_SRT}.dllm.config": {"DllmConfig": Record(from_server_args=_NOTHING)},
        f"{_SRT}.layers.attention.graph_variants": {
            "create_attention_graph_variants": _NOTHING,
            "create_dsv41_candidate_graph_variants": _NOTHING,
        },
    }
