"""Where the host's lengths and the device's differ, the device's count.

The original takes the longest length from the host. Consumers read a row's page table up
to the device's length of that row.
"""

from __future__ import annotations

from tests.patches.reference import POISON, Buffers, Case, outputs
from tests.patches.run import fill


def test_columns_up_to_the_longest_sequence_and_no_more() -> None:
    case = Case(seq_lens=(70, 130, 5), context=200, page_size=1)
    out = outputs(case, Buffers(), case.bs, expanded=False)
    fill(case, out)
    written = (out["page_table"] != POISON).all(dim=0)
    assert written[:130].all()
    assert not written[130:].any()
