from __future__ import annotations

from typing import Optional

import triton
import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import _schedule_kernel


@triton.jit
def _seen_by(token, tokens, seq_lens, DRAFT_TOKENS: tl.constexpr):
    """The KV lengths that query tokens see; 0 past the last token."""
    most: tl.constexpr = DRAFT_TOKENS if DRAFT_TOKENS > 0 else 1
    kv_len = tl.load(seq_lens + token // most, mask=token < tokens, other=0)
    if DRAFT_TOKENS > 0:
        kv_len = tl.where(token < tokens, kv_len + token % most + 1, 0)
    return kv_len


class MakeSchedule:
    def _metadata_kernel(
        seq_lens,
        schedule,
        bs,
        row,
        most,
        DRAFT_TOKENS: tl.constexpr,
        NUM_SMS: tl.constexpr,
        REMAINDER: tl.constexpr,
    ):
        if NUM_SMS > 0:
            if row < 0:
                tokens = bs * most
                _schedule_kernel(
                    seq_lens, tokens, schedule, NUM_SMS, REMAINDER, DRAFT_TOKENS
                )

    def fill_metadata_inplace(metadata, remainder: Optional[str], m):
        # DeepGEMM's schedule, where it is known which SMs get the remainder.
        schedule, num_sms = m.cu_seqlens_k, 0
        if remainder is not None:
            schedule = m.paged_mqa_schedule_metadata
            num_sms += schedule.shape[0] - 1
