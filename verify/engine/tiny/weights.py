"""A DeepSeek-V3.2 with one NextN layer, small, whose drafts are accepted now and then.

Its weights are made, not trained, so that every metadata buffer shows in what it says.
An embedding is a random code of its token, all of one magnitude:

    hidden  [ key 128 | name 16, value 496 | memory 383 | one 1 ]

The indexer scores a position by how well its token's name agrees with 16 bits of the
current token's key, and so picks 2,048 positions anew for every token. Attention scores
are zero: a layer reads the plain mean of the values there and writes it to `memory`. The
next token is the argmax of a random code of `memory` plus one of the current token's key,
a hash of what was read: another page, slot or length gives another token.

The NextN layer reads as the first layer does, but has no second one, which rewrites
`FEW` elements of the memory, and never sees the first token. So a draft is right most
times.

Ids depend neither on how a kernel splits its work nor on what else is in the batch:

- Names are distinct and so are their scores (`_queries`). Positions that tie hold the
  same token, so it does not matter which of them is picked.
- Names and what asks for them are exact in fp8, rotated by the indexer's Hadamard
  transform or not (`_chirp`).
- A mean is an even number of 2,048ths, at most 512 of them nearly always, which
  bfloat16 holds; each element of the memory is one of these times `LOUD`, so the sums of
  a norm and of the logits are exact in any order.
"""

from __future__ import annotations

import functools
import itertools
import random
import struct
from collections.abc import Iterator

from verify.engine.tiny.config import (
    DENSE_WIDTH,
    EXPERT_WIDTH,
    EXPERTS,
    HEADS,
    HIDDEN,
    INDEX_DIM,
    INDEX_HEADS,
    LAYERS,
    NOPE,
    RANK,
    ROPE,
    VOCABULARY,
)

KEY, VALUE = 128, 512
MEMORY = HIDDEN - KEY - VALUE - 1
UNIT = 1.265625
"""What RMSNorm leaves as it is: 641 of 1,024 elements of an embedding have it."""
LOUD = 32.0
FEW = 8
"""Elements of the memory that the second layer adds to."""
NAME = 16

Rows = Iterator[bytes]
Weight = tuple[str, tuple[int, ...], Rows | None]
"""A name, a shape, and its rows as bfloat16; None: all zero, and a hole in the file."""


def tensors(draw: random.Random, layers: int) -> Iterator[Weight]:
    """Every tensor of the model, in the order in which its file has them."""
    first = _Reading(draw, MEMORY)
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN), _embeddings(draw)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield from _attention(prefix, _Reading(draw, FEW) if layer else first)
        dense = _feed_forward(f"{prefix}mlp.", DENSE_WIDTH)
        yield from _experts(prefix) if layer else dense
    for layer in range(LAYERS, layers):
        prefix = f"model.layers.{layer}."
        yield from _attention(prefix, first, says=False)
        yield from _experts(prefix)
    nextn = f"model.layers.{layers}."
    yield from _attention(nextn, first)
    yield from _experts(nextn)
    yield f"{nextn}eh_proj.weight", (HIDDEN, 2 * HIDDEN), _identity()
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield _ones(f"{nextn}{name}.weight", HIDDEN)
    yield _ones("model.norm.weight", HIDDEN)
    yield "lm_head.weight", (VOCABULARY, HIDDEN), _head(draw)


def _embeddings(draw: random.Random) -> Rows:
    gap, one = bytes(2 * MEMORY), _bf16(UNIT)
    names = draw.sample(range(1 << NAME), VOCABULARY)
    for name in names:
        key, value = (_signs(draw, n, UNIT) for n in (KEY, VALUE - NAME))
        yield key + _signed(name.to_bytes(2, "little"), UNIT) + value + gap + one


def _head(draw: random.Random) -> Rows:
    gap, memory = bytes(2 * VALUE), MEMORY + 1
    for _ in range(VOCABULARY):
        row = _signs(draw, KEY, 1.0) + gap + _signs(draw, memory, 1.0)
        yield row[:-2] + bytes(2)


class _Reading:
    """What one layer looks for, and where it writes what it finds."""

    def __init__(self, draw: random.Random, writes: int) -> None:
        self.asks = draw.sample(range(KEY), NAME)
        """The elements of the key that ask for the name's."""
        self.weights = [draw.sample(range(8), 8) for _ in range(2)]
        """For each half of the name: the power of two that an element counts."""
        self.memory = draw.sample(range(NAME, VALUE), writes)
        """The value's elements that the memory takes, in its order."""
        self.flip = [draw.choice((LOUD, -LOUD)) for _ in range(writes)]


def _chirp(i: int, half: int) -> tuple[int, float]:
    """Which of 8 elements of a name's half is in element i of 64 of a query or key; sign.

    It is in 8 elements before a Hadamard transform and in 8 after it. With both halves,
    elements are 0, 2 or -2 on either side, so fp8 rounds all of them alike.
    """
    block, at = divmod(i, 8)
    return block, -1.0 if ((block ^ half) & at).bit_count() % 2 else 1.0


def _attention(prefix: str, reading: _Reading, says: bool = True) -> Iterator[Weight]:
    attention, indexer = f"{prefix}self_attn.", f"{prefix}self_attn.indexer."
    yield _ones(f"{prefix}input_layernorm.weight", HIDDEN)
    yield _ones(f"{prefix}post_attention_layernorm.weight", HIDDEN)
    keys = (_row(HIDDEN, {i % KEY: 1.0}) for i in range(RANK))
    yield f"{attention}q_a_proj.weight", (RANK, HIDDEN), keys
    yield _ones(f"{attention}q_a_layernorm.weight", RANK)
    yield f"{attention}q_b_proj.weight", (HEADS * (NOPE + ROPE), RANK), None
    values = (
        _row(HIDDEN, {KEY + i: 1.0} if i < RANK else {}) for i in range(RANK + ROPE)
    )
    yield f"{attention}kv_a_proj_with_mqa.weight", (RANK + ROPE, HIDDEN), values
    yield _ones(f"{attention}kv_a_layernorm.weight", RANK)
    yield f"{attention}kv_b_proj.weight", (HEADS * 2 * NOPE, RANK), _values()
    written = _written(reading) if says else None
    yield f"{attention}o_proj.weight", (HIDDEN, HEADS * NOPE), written
    wide = INDEX_HEADS * INDEX_DIM
    yield f"{indexer}wq_b.weight", (wide, RANK), _queries(reading)
    yield f"{indexer}wk.weight", (INDEX_DIM, HIDDEN), _names()
    seen = bytes(2 * ROPE) + _bf16(1.0) * (INDEX_DIM - ROPE)
    yield f"{indexer}k_norm.weight", (INDEX_DIM,), iter([seen])
    yield f"{indexer}k_norm.bias", (INDEX_DIM,), None
    # A score is relu(q.k) - relu(-q.k) = q.k: ranks go on below zero.
    gates = (_row(HIDDEN, {HIDDEN - 1: gate}) for gate in _GATES)
    rest = (bytes(2 * HIDDEN) for _ in range(INDEX_HEADS - len(_GATES)))
    both = itertools.chain(gates, rest)
    yield f"{indexer}weights_proj.weight", (INDEX_HEADS, HIDDEN), both


def _values() -> Rows:
    """Heads 0 to 3 pass on a quarter of the latent each; all others say nothing."""
    for head in range(HEADS):
        yield bytes(2 * NOPE * RANK)
        for i in range(NOPE):
            at = head * NOPE + i
            yield _row(RANK, {at: 1.0} if at < RANK else {})


def _written(reading: _Reading) -> Rows:
    for i in range(HIDDEN):
        at = i - KEY - VALUE
        said = 0 <= at < len(reading.memory)
        yield _row(HEADS * NOPE, {reading.memory[at]: reading.flip[at]} if said else {})


_GATES = [sign * gate for gate in (1.0, 2.0**-8, 2.0**-16) for sign in (1, -1)]
"""Of the index heads that say something: `_queries`' three, each with both signs."""


def _queries(reading: _Reading) -> Rows:
    """A score: how many elements of a name agree, which of its first half, which of the rest.

    All that comes later counts less than one of what comes before: no two names tie.
    """
    one = [0] * 8
    for weights in ({0: one, 1: one}, {0: reading.weights[0]}, {1: reading.weights[1]}):
        for turn in (1, -1):
            yield from itertools.repeat(bytes(2 * RANK), ROPE)
            for i in range(INDEX_DIM - ROPE):
                asked = {}
                for half, powers in weights.items():
                    at, sign = _chirp(i, half)
                    asked[reading.asks[8 * half + at]] = turn * sign * 2 ** powers[at]
                yield _row(RANK, asked)
    yield from itertools.repeat(
        bytes(2 * RANK), (INDEX_HEADS - len(_GATES)) * INDEX_DIM
    )


def _names() -> Rows:
    """The part that RoPE turns is minus the other: so a mean is zero, and the norm drops it."""
    for i in range(INDEX_DIM):
        turn = -1 if i < ROPE else 1
        signs = (_chirp(i % 64, half) for half in range(2))
        yield _row(
            HIDDEN,
            {KEY + 8 * half + at: turn * sign for half, (at, sign) in enumerate(signs)},
        )


def _experts(prefix: str) -> Iterator[Weight]:
    yield f"{prefix}mlp.gate.weight", (EXPERTS, HIDDEN), None
    yield f"{prefix}mlp.gate.e_score_correction_bias", (EXPERTS,), None
    for name in ("shared_experts", *(f"experts.{i}" for i in range(EXPERTS))):
        yield from _feed_forward(f"{prefix}mlp.{name}.", EXPERT_WIDTH)


def _feed_forward(prefix: str, width: int) -> Iterator[Weight]:
    yield f"{prefix}gate_proj.weight", (width, HIDDEN), None
    yield f"{prefix}up_proj.weight", (width, HIDDEN), None
    yield f"{prefix}down_proj.weight", (HIDDEN, width), None


def _identity() -> Rows:
    """The NextN layer starts from the token alone, not from the target's hidden state."""
    return (_row(2 * HIDDEN, {i: 1.0}) for i in range(HIDDEN))


def _ones(name: str, count: int) -> Weight:
    return name, (count,), iter([_bf16(1.0) * count])


def _row(width: int, elements: dict[int, float]) -> bytes:
    """Zero but for `elements`, by index."""
    row = bytearray(2 * width)
    for at, value in elements.items():
        row[2 * at : 2 * at + 2] = _bf16(value)
    return bytes(row)


def _bf16(value: float) -> bytes:
    """Rounded to nearest, ties away from zero; little-endian."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return struct.pack("<H", (bits + 0x8000) >> 16)


def _signs(draw: random.Random, count: int, size: float) -> bytes:
    return _signed(draw.randbytes(count // 8), size)


def _signed(bits: bytes, size: float) -> bytes:
    """One element a bit: `size`, or minus `size`."""
    return b"".join(map(_signs_of_a_byte(size).__getitem__, bits))


@functools.cache
def _signs_of_a_byte(size: float) -> list[bytes]:
    plus, minus = _bf16(size), _bf16(-size)
    return [
        b"".join(plus if byte >> i & 1 else minus for i in range(8))
        for byte in range(256)
    ]
