from __future__ import annotations

from typing import Optional

import triton.language as tl

from sglang.srt.layers.attention.nsa.triton_metadata_kernel import _schedule_kernel


class MakeSchedule:
    def _metadata_kernel(
        seq_lens,
        schedule,
        bs,
        row,
        NUM_SMS: tl.constexpr,
        REMAINDER: tl.constexpr,
    ):
        if NUM_SMS > 0:
            if row < 0:
                _schedule_kernel(seq_lens, bs, schedule, NUM_SMS, REMAINDER)

    def fill_metadata_inplace(metadata, remainder: Optional[str], m):
        # The draft's schedule, where it is known which SMs get the remainder.
        schedule, num_sms = m.cu_seqlens_k, 0
        if remainder is not None:
            schedule = m.paged_mqa_schedule_metadata
            num_sms += schedule.shape[0] - 1
