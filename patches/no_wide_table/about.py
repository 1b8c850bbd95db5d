"""Leave out the draft steps' table of single tokens, which top-k v2 does not read.

Source: upstream does so for decode without speculation (`dsa_drop_wide_page_table`).
"""

from __future__ import annotations

from patcher.about import About, RouteData
from patches.shared.evidence import NO_CALL
from patches.shared.releases import FIRST_DSA

KEPT = "the release keeps the table in every decode"
OTHER_TOPK = "its condition for leaving the table out does not ask which top-k runs"

ABOUT = About(
    name="no-wide-table",
    version="1",
    summary="leave out the draft steps' table of single tokens",
    source="sgl-project/sglang's dsa_drop_wide_page_table",
    gate="SGLANG_NSA_DROP_WIDE_PAGE_TABLE",
    sign="SGLANG_NSA_DROP_WIDE_PAGE_TABLE",
    requires=("in-graph",),
    default=False,
    families=("C",),
    unfit={
        **dict.fromkeys(FIRST_DSA, KEPT),
        **dict.fromkeys(("0.5.15", "0.5.15.post1", "0.5.16"), OTHER_TOPK),
    },
    routes=(
        RouteData(
            "no-wide-table",
            ("decode@runner",),
            must=("capture without page_table_1", "graph kernel *_metadata_kernel*"),
            must_not=(*NO_CALL, "replay kernel *"),
            shares=True,
            kernels=True,
            best=True,
            families=("C",),
            # The other table lies in memory of its own then; its reader's copies of it
            # are compared.
            drops=("*page_table*", "*page_table_1"),
        ),
    ),
)
