"""Deterministic stand-ins for kernels that live outside the tree.

Each has the real one's shapes and types, depends on every argument and every element
of its input, and uses only tensor operations on the input's device, so it can be
captured in a CUDA graph. A report names each stand-in that was in use. On CUDA a real
kernel package goes first where it can be imported.
"""

from __future__ import annotations

import functools
import importlib
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch

from verify.worker.observe.evidence import EVIDENCE

NUM_SMS = 132
Made = TypeVar("Made")


def heard(plan: Callable[..., Made]) -> Callable[..., Made]:
    """Counts what it is asked."""

    @functools.wraps(plan)
    def asked(*args: Any, **kwargs: Any) -> Made:
        given = [*map(_asked, args), *(f"{k}={_asked(v)}" for k, v in kwargs.items())]
        EVIDENCE.count(f"asked {plan.__name__}({', '.join(given)})")
        return plan(*args, **kwargs)

    return asked


@contextmanager
def unguarded() -> Iterator[None]:
    """What is computed on the way is no buffer: it needs no guard bands."""
    with torch._C._DisableTorchDispatch():
        yield


def _asked(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    return f"[{', '.join(('rows', *map(str, value.shape[1:])))}]"


def _mix(values: torch.Tensor) -> torch.Tensor:
    """A 0-d int64 that changes with any element, and with their order."""
    flat = values.reshape(-1).to(torch.int64)
    weight = torch.arange(1, flat.numel() + 1, device=flat.device, dtype=torch.int64)
    mixed: torch.Tensor = ((flat + 12345) * (weight * 2654435761 % 1000003)).sum()
    return mixed % 1000000007


def _filled(shape: tuple[int, ...], key: torch.Tensor) -> torch.Tensor:
    count = 1
    for size in shape:
        count *= size
    index = torch.arange(count, device=key.device, dtype=torch.int64)
    return ((index * 7919 + key * 31) % 2147483647).to(torch.int32).reshape(shape)


def settings(*args: Any, **kwargs: Any) -> int:
    """A number that changes with any plain argument."""
    named = sorted((name, value) for name, value in kwargs.items())
    words = repr(([_word(a) for a in args], [(n, _word(v)) for n, v in named]))
    return zlib.crc32(words.encode()) % 1000003


def _word(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else repr(value)


@heard
def get_mla_metadata(
    cache_seqlens: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """[num_sm_parts, 8] int32 tile schedule and [bs + 1] int32 splits."""
    topk = kwargs.get("topk") or 2048
    with unguarded():
        key = _mix(cache_seqlens)
        parts = _filled((NUM_SMS, 8), key + settings(*args, **kwargs))
        splits = torch.cumsum(1 + cache_seqlens.reshape(-1) // 64 % topk, 0)
        splits = torch.nn.functional.pad(splits, (1, 0)) + (key % 17)
        splits = splits.to(torch.int32)
    return parts.clone(), splits.clone()


class Schedule:
    """How DeepGEMM's stand-in plans, the same on both sides.

    by_formula: as DeepGEMM does, so that a kernel which knows its formula is believed and
    has to get it right. Otherwise the plan changes with every bit of the lengths, and
    nobody else can make it.
    """

    by_formula = False


@heard
def get_paged_mqa_logits_metadata(
    context_lens: torch.Tensor, block_kv: int, num_sms: int
) -> torch.Tensor:
    """[num_sms + 1, 2] int32."""
    with unguarded():
        if Schedule.by_formula:
            made = _planned_work(context_lens, 4 * block_kv, num_sms)
        else:
            key = _mix(context_lens) + settings(block_kv, context_lens)
            made = _filled((num_sms + 1, 2), key)
    return made.clone()


def _planned_work(
    context_lens: torch.Tensor, segment: int, num_sms: int
) -> torch.Tensor:
    """Where each SM begins: row and segment; all take as many segments.

    What is left over goes to the first SMs where lengths are flat, as with the older
    DeepGEMM, and to the last where they are in rows.
    """
    segments = (context_lens.reshape(-1).to(torch.int64) + segment - 1) // segment
    ends = torch.cumsum(segments, 0)
    share, rest = ends[-1] // num_sms, ends[-1] % num_sms
    sm = torch.arange(num_sms + 1, device=ends.device)
    if context_lens.dim() == 1:
        begins = sm * share + torch.minimum(sm, rest)
    else:
        begins = sm * share + (sm - (num_sms - rest)).clamp(min=0)
    row = torch.searchsorted(ends, begins, right=True)
    before = torch.nn.functional.pad(ends, (1, 0))[row]
    return torch.stack((row, begins - before), 1).to(torch.int32)


def seqlens_expand(
    extend_seq_lens: torch.Tensor,
    seq_lens: torch.Tensor,
    total_len: int,
    max_q_len: int,
) -> torch.Tensor:
    """What attention/utils.py's seqlens_expand_triton writes: [total_len] int32."""
    repeats = extend_seq_lens.to(torch.int64)
    starts = torch.repeat_interleave(seq_lens.to(torch.int64) - repeats + 1, repeats)
    heads = torch.repeat_interleave(torch.cumsum(repeats, 0) - repeats, repeats)
    index = torch.arange(total_len, device=seq_lens.device, dtype=torch.int64)
    return (starts + index - heads).to(torch.int32)


def module(name: str, **members: Any) -> ModuleType:
    """A module of these members."""
    made = ModuleType(name)
    made.__path__ = []
    made.__dict__.update(members)
    return made


# FlashMLA's kernel writes so many words of a row's eight, and reads no more.
PLANNED_WORDS = 5


def importable(device: str, snapshot: Path) -> dict[str, ModuleType | str]:
    """On CUDA: the kernel packages that are installed and work, one by one.

    Each is the module, which whoever asks for it by name still has to be handed, or why one
    that is there is not: it may not fit the driver, Python, torch or the snapshot's tree,
    or find no compiler. What lies around a kernel in its package stays a placeholder.
    """
    in_rows = _asks_in_rows(snapshot)
    found: dict[str, ModuleType | str] = {}
    for name, tried in _TRIED.items() if device != "cpu" else ():
        top = name.partition(".")[0]
        try:
            found[name] = module = importlib.import_module(name)
            tried(module, device, in_rows)
        except Exception as error:
            found.pop(name, None)
            if getattr(error, "name", None) not in (name, top):
                found[name] = f"installed, but {type(error).__name__}: {error}"
        sys.modules.pop(name, None)
        sys.modules.pop(top, None)
    return found


def _asks_in_rows(snapshot: Path) -> bool:
    """Whether the tree gives DeepGEMM lengths as [tokens, 1]: from 0.5.12 on."""
    backends = snapshot.glob("sglang/srt/layers/attention/[nd]sa_backend.py")
    return any(b"def _to_2d_context_lens(" in file.read_bytes() for file in backends)


def _schedule(package: ModuleType, device: str, in_rows: bool) -> None:
    lengths = torch.ones(1, dtype=torch.int32, device=device)
    ask = package.get_paged_mqa_logits_metadata
    ask(lengths.view(-1, 1) if in_rows else lengths, 64, package.get_num_sms())


def _plan(name: str, **more: Any) -> Callable[[ModuleType, str, bool], None]:
    def tried(package: ModuleType, device: str, in_rows: bool) -> None:
        plan = _planned(getattr(package, name))
        plan(
            torch.ones(1, dtype=torch.int32, device=device), 64, 1, 64, True, 64, **more
        )
        setattr(package, name, plan)

    return tried


def _planned(plan: Callable[..., Any]) -> Callable[..., Any]:
    """FlashMLA's plan; words that its kernel leaves as the allocator gave them are zeros."""

    def planned(*args: Any, **kwargs: Any) -> Any:
        parts, splits = plan(*args, **kwargs)
        if isinstance(parts, torch.Tensor):
            parts[:, PLANNED_WORDS:].zero_()
        return parts, splits

    return planned


_TRIED: dict[str, Callable[[ModuleType, str, bool], None]] = {
    "deep_gemm": _schedule,
    "sgl_kernel.flash_mla": _plan("get_mla_metadata"),
    "flash_mla": _plan("get_mla_decoding_metadata", use_legacy=True),
}


def modules() -> dict[str, ModuleType]:
    """Stand-in modules by import name.

    The copy kernels that a tree compiles at run time (0.5.9 on) are plain copies on
    any device here: they need a compiler and the whole package.
    """
    from verify.worker.tree import plain_copies

    found = {
        "deep_gemm": module(
            "deep_gemm",
            get_paged_mqa_logits_metadata=get_paged_mqa_logits_metadata,
            get_num_sms=lambda: NUM_SMS,
        ),
        "sglang.jit_kernel.fused_metadata_copy": module(
            "sglang.jit_kernel.fused_metadata_copy",
            fused_metadata_copy_cuda=plain_copies.one,
            fused_metadata_copy_multi_cuda=plain_copies.three,
        ),
    }
    for name in ("sgl_kernel.flash_mla", "flash_mla"):
        found[name] = module(
            name,
            get_mla_metadata=get_mla_metadata,
            flash_mla_with_kvcache=None,
            flash_mla_sparse_fwd=None,
        )
    return found
