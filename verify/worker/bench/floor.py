"""The bytes that a replay must move at least: read once, written once a destination."""

from __future__ import annotations

from dataclasses import replace

from verify.worker.bench.inputs import InputSet, Place

_INT32 = 4
_INT64 = 8
_SECTOR = 32  # what a GPU reads at least


def bytes_least(
    point: Place,
    inputs: InputSet,
    destinations: int,
    tails: bool = False,
    wide: bool = True,
) -> int:
    """From the shapes that the contract writes.

        read     req_to_token[rows, :columns], lengths and rows (int64), accept lengths
        written  page table [tokens, columns], real page table [tokens, columns / page],
                 cache_seqlens, cu_seqlens_k [bs], and per token nsa_cache_seqlens,
                 nsa_cu_seqlens_k and, except in decode, the expanded lengths

    destinations: sets of buffers that are written and do not share memory. tails: a row is
    written up to its own length (from 0.5.17 on). wide: with the table of single tokens;
    without it a page's first entry is read alone.
    """
    if tails:
        inputs = replace(inputs, longest=int(inputs.lengths_cpu.double().mean()))
    columns, tokens, vectors = inputs.longest, point.bs, 2
    if point.mode == "target_verify":
        columns, tokens, vectors = columns + point.draft, point.bs * point.draft, 3
    elif point.mode == "draft_extend":
        tokens, vectors = inputs.total_accepts, 3
    pages = -(-columns // point.page_size)
    entry = columns * _INT32 if wide else pages * _SECTOR
    read = point.bs * (entry + 2 * _INT64)
    if point.mode == "draft_extend":
        read += point.bs * _INT32
    table = tokens * columns if wide else 0
    if point.page_size > 1:
        table += tokens * pages
    written = (table + 2 * point.bs + vectors * tokens) * _INT32
    return read + destinations * written
