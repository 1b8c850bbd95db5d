"""How releases of one family differ, where a patch depends on it."""

from __future__ import annotations

# Up to 0.5.5 draft_extend keeps one page table row a request, not one a token, and
# counts all draft tokens into a sequence's length.
DRAFT_EXTEND_BY_REQUEST = "its draft_extend metadata has one row a request"
RELEASES_BY_REQUEST = (
    "0.5.4",
    "0.5.4.post1",
    "0.5.4.post2",
    "0.5.4.post3",
    "0.5.5",
    "0.5.5.post1",
    "0.5.5.post2",
)

# What upstream has by itself in the later families.
OWN_PRECOMPUTE = "upstream has its own precompute since 0.5.7"
OWN_GENERATION = "upstream's own is one Triton launch since 0.5.15"

# The first of family C, whose backend is another one.
FIRST_DSA = ("0.5.13", "0.5.13.post1", "0.5.14")
OTHER_BACKEND = "it is not made for the DSA backend"

# From here on `_precompute_decode_mode` is one Triton launch.
GENERATING = (
    "0.5.15",
    "0.5.15.post1",
    *(f"0.5.{patch}" for patch in range(16, 24)),
)
