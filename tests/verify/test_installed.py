"""`--runtime installed` runs the sglang that the interpreter has, patched files on top."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.test_verdicts import DECODE

pytestmark = pytest.mark.tree
Run = Callable[..., tuple[int, str, str]]

# A stand-in for a full installation: what the backend imports, and nothing more.
MODULES = {
    "sglang/__init__": "",
    "sglang/srt/__init__": "",
    "sglang/srt/configs/model_config": """
def is_deepseek_nsa(config):
    return config.architectures[0].startswith("Deepseek") and config.index_topk
def get_nsa_index_topk(config):
    return config.index_topk
""",
    "sglang/srt/layers/attention/nsa/dequant_k_cache": "dequantize_k_cache_paged = 0",
    "sglang/srt/layers/attention/nsa/nsa_indexer": "class BaseIndexerMetadata: pass",
    "sglang/srt/layers/attention/nsa/quant_k_cache": "quantize_k_cache = 0",
    "sglang/srt/layers/attention/nsa/transform_index": """
transform_index_page_table_decode = transform_index_page_table_prefill = 0
""",
    "sglang/srt/layers/attention/trtllm_mla_backend": "_concat_mla_absorb_q_general = 0",
    "sglang/srt/layers/dp_attention": """
def get_attention_tp_size():
    raise AssertionError("no distributed group here")
get_attention_tp_group = 0
""",
    "sglang/srt/server_args": "def get_global_server_args(): pass",
    "sglang/srt/utils/__init__": """
from sglang.srt.utils.common import *
""",
    "sglang/srt/utils/common": """
def is_hip(): return False
def is_npu(): return False
def is_blackwell(): return False
def get_device_sm(): return 90
def get_bool_env_var(name, default="false"): return default == "true"
""",
    "sgl_kernel/__init__": "",
    "sgl_kernel/flash_attn": "flash_attn_varlen_func = flash_attn_with_kvcache = 0",
    "sgl_kernel/flash_mla": """
import torch
def get_mla_metadata(cache_seqlens, **options):
    parts = torch.full((4, 8), int(cache_seqlens.sum()), dtype=torch.int32)
    splits = torch.arange(len(cache_seqlens) + 1, dtype=torch.int32)
    return parts, splits
""",
}


@pytest.fixture
def python(original: Path, tmp_path: Path) -> Path:
    """An interpreter in which that sglang is installed."""
    site = tmp_path / "site"
    for name, text in MODULES.items():
        file = site / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = "sglang/srt/model_executor/forward_batch_info.py"
    (site / info).parent.mkdir()
    lifted = (original / info).read_text()
    start = lifted.index("class ForwardMode(IntEnum):")
    end = lifted.index("\n@", start)
    head = "from enum import IntEnum, auto\nclass ForwardBatch: pass\n"
    (site / info).write_text(head + lifted[start:end])
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def test_the_real_kernel_is_called(applied: Path, python: Path, run: Run) -> None:
    arguments = ("--python", python, "--runtime", "installed", "--scenario", DECODE)
    code, out, _ = run(applied, "--device", "cpu", "--route", "precomputed", *arguments)
    assert code == 0, out
    assert "get_mla_metadata: a deterministic stand-in" not in out


def test_without_an_installation_there_is_no_verdict(
    applied: Path, run: Run, tmp_path: Path
) -> None:
    arguments = ("--runtime", "installed", "--scenario", DECODE)
    code, out, _ = run(applied, "--device", "cpu", "--route", "precomputed", *arguments)
    assert code == 4
    assert "No module named 'sglang" in out


def test_isolated_ignores_the_installation(
    applied: Path, python: Path, run: Run
) -> None:
    arguments = ("--python", python, "--scenario", DECODE)
    code, out, _ = run(applied, "--device", "cpu", "--route", "precomputed", *arguments)
    assert code == 0, out
    assert "get_mla_metadata: a deterministic stand-in" in out
