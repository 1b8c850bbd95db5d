"""A DeepSeek-V3.2 with one NextN layer, small, whose drafts are accepted now and then.

Its weights are made, not trained, so that every metadata buffer shows in what it says.
An embedding is a random code of its token, all of one magnitude:

    hidden  [ key 128 | value 512 | memory 383 | one 1 ]

The indexer scores each position by a random bilinear form of the keys of the two tokens
and so picks 2,048 positions anew for every token. Attention scores are zero: a layer
reads the plain mean of the values there and writes it, mixed, to `memory`. The next
token is the argmax of a random code of `memory` plus one of the current token's key, a
hash of what was read: another page, slot or length gives another token.

The NextN layer reads as the first layer does, but has no second one, whose reading is
`FAINT` of the first's, and never sees the first token. So a draft is right most times.

Values are +1 and -1, which fp8 holds exactly, and sums of 2,048 of them are exact in
any order; queries and keys are on a coarse grid, so theirs are too. Ids depend neither on
how a kernel splits its work nor on what else is in the batch. Only the standard library.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VOCABULARY = 32000
HIDDEN = 1024
KEY, VALUE = 128, 512
MEMORY = HIDDEN - KEY - VALUE - 1
LAYERS = 2
EXPERTS, EXPERT_WIDTH, DENSE_WIDTH = 8, 512, 2048
HEADS, NOPE, ROPE = 64, 128, 64
RANK = 512
INDEX_HEADS, INDEX_DIM = 64, 128
UNIT = 1.265625
"""What RMSNorm leaves as it is: 641 of 1,024 elements of an embedding have it."""
LOUD, FAINT = 2.0, 0.125

CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekV32ForCausalLM"],
    "model_type": "deepseek_v32",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": DENSE_WIDTH,
    "moe_intermediate_size": EXPERT_WIDTH,
    "num_hidden_layers": LAYERS,
    "num_nextn_predict_layers": 1,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "n_shared_experts": 1,
    "n_routed_experts": EXPERTS,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "q_lora_rank": RANK,
    "kv_lora_rank": RANK,
    "qk_nope_head_dim": NOPE,
    "qk_rope_head_dim": ROPE,
    "v_head_dim": NOPE,
    "index_n_heads": INDEX_HEADS,
    "index_head_dim": INDEX_DIM,
    "index_topk": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "max_position_embeddings": 163840,
    "rope_theta": 10000,
    "rope_scaling": {
        "type": "yarn",
        "factor": 40,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "torch_dtype": "bfloat16",
    "ep_size": 1,
    "aux_loss_alpha": 0.001,
    "seq_aux": True,
    "pretraining_tp": 1,
    "use_cache": True,
    "initializer_range": 0.02,
}

Rows = Iterator[bytes]
Weight = tuple[str, tuple[int, ...], Rows | None]
"""A name, a shape, and its rows as bfloat16; None: all zero, and a hole in the file."""


def write(folder: Path, seed: int = 0, layers: int = LAYERS) -> Path:
    """Write config.json and model.safetensors; returns `folder`.

    layers: of the target; those beyond `LAYERS` work as hard and say nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**CONFIG, "num_hidden_layers": layers}, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    weights = list(_weights(random.Random(seed), layers))
    _safetensors(folder / "model.safetensors", weights)
    return folder


def _safetensors(file: Path, weights: list[Weight]) -> None:
    """The header's length, the header, the bytes; zeros are left to the file system."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape, _ in weights:
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        first = out.tell()
        for name, _, rows in weights:
            start, _ = header[name]["data_offsets"]
            if rows is not None:
                out.seek(first + start)
                out.writelines(rows)
        out.truncate(first + end)


def _weights(draw: random.Random, layers: int) -> Iterator[Weight]:
    first_reading = _Reading(draw)
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN), _embeddings(draw)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        reading = _Reading(draw) if layer else first_reading
        yield from _attention(prefix, reading, FAINT if layer else LOUD)
        yield from _experts(prefix) if layer else _dense(prefix)
    for layer in range(LAYERS, layers):
        prefix = f"model.layers.{layer}."
        yield from _attention(prefix, first_reading, 0)
        yield from _experts(prefix)
    nextn = f"model.layers.{layers}."
    yield from _attention(nextn, first_reading, LOUD)
    yield from _experts(nextn)
    yield f"{nextn}eh_proj.weight", (HIDDEN, 2 * HIDDEN), _identity()
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield _ones(f"{nextn}{name}.weight", HIDDEN)
    yield _ones("model.norm.weight", HIDDEN)
    yield "lm_head.weight", (VOCABULARY, HIDDEN), _head(draw)


def _embeddings(draw: random.Random) -> Rows:
    gap, one = bytes(2 * MEMORY), _bf16(UNIT)
    return (_signs(draw, KEY + VALUE, UNIT) + gap + one for _ in range(VOCABULARY))


def _head(draw: random.Random) -> Rows:
    gap, memory = bytes(2 * VALUE), MEMORY + 1
    for _ in range(VOCABULARY):
        row = _signs(draw, KEY, 1.0) + gap + _signs(draw, memory, 1.0)
        yield row[:-2] + bytes(2)


class _Reading:
    """What one layer looks for (`query`, `key`) and how it mixes what it finds."""

    def __init__(self, draw: random.Random) -> None:
        self.query = [_normals(draw, KEY) for _ in range(INDEX_DIM - ROPE)]
        self.key = [_normals(draw, KEY) for _ in range(INDEX_DIM - ROPE)]
        self.mix = [draw.getrandbits(VALUE) for _ in range(MEMORY)]


def _attention(prefix: str, reading: _Reading, loud: float) -> Iterator[Weight]:
    attention, indexer = f"{prefix}self_attn.", f"{prefix}self_attn.indexer."
    yield _ones(f"{prefix}input_layernorm.weight", HIDDEN)
    yield _ones(f"{prefix}post_attention_layernorm.weight", HIDDEN)
    keys = (_at(i % KEY, HIDDEN) for i in range(RANK))
    yield f"{attention}q_a_proj.weight", (RANK, HIDDEN), keys
    yield _ones(f"{attention}q_a_layernorm.weight", RANK)
    yield f"{attention}q_b_proj.weight", (HEADS * (NOPE + ROPE), RANK), None
    values = (
        _at(KEY + i, HIDDEN) if i < RANK else bytes(2 * HIDDEN)
        for i in range(RANK + ROPE)
    )
    yield f"{attention}kv_a_proj_with_mqa.weight", (RANK + ROPE, HIDDEN), values
    yield _ones(f"{attention}kv_a_layernorm.weight", RANK)
    yield f"{attention}kv_b_proj.weight", (HEADS * 2 * NOPE, RANK), _values()
    mixed = _mixed(reading, loud) if loud else None
    yield f"{attention}o_proj.weight", (HIDDEN, HEADS * NOPE), mixed
    wide = INDEX_HEADS * INDEX_DIM
    yield f"{indexer}wq_b.weight", (wide, RANK), _queries(reading)
    rope = bytes(2 * HIDDEN)
    rest = bytes(2 * (HIDDEN - KEY))
    key = (rope if i < ROPE else reading.key[i - ROPE] + rest for i in range(INDEX_DIM))
    yield f"{indexer}wk.weight", (INDEX_DIM, HIDDEN), key
    seen = bytes(2 * ROPE) + _bf16(1.0) * (INDEX_DIM - ROPE)
    yield f"{indexer}k_norm.weight", (INDEX_DIM,), iter([seen])
    yield f"{indexer}k_norm.bias", (INDEX_DIM,), None
    # A score is relu(q.k) - relu(-q.k) = q.k: ranks go on below zero, without ties.
    sign = [_at(HIDDEN - 1, HIDDEN, 1.0), _at(HIDDEN - 1, HIDDEN, -1.0)]
    signs = (*sign, *[bytes(2 * HIDDEN)] * (INDEX_HEADS - 2))
    yield f"{indexer}weights_proj.weight", (INDEX_HEADS, HIDDEN), iter(signs)


def _values() -> Rows:
    """Heads 0 to 3 pass on a quarter of the latent each; all others say nothing."""
    for head in range(HEADS):
        yield bytes(2 * NOPE * RANK)
        for i in range(NOPE):
            at = head * NOPE + i
            yield _at(at, RANK) if at < RANK else bytes(2 * RANK)


def _mixed(reading: _Reading, loud: float) -> Rows:
    width = HEADS * NOPE
    for i in range(HIDDEN):
        at = i - KEY - VALUE
        if 0 <= at < MEMORY:
            bits = reading.mix[at].to_bytes(VALUE // 8, "little")
            yield _signed(bits, loud) + bytes(2 * (width - VALUE))
        else:
            yield bytes(2 * width)


def _queries(reading: _Reading) -> Rows:
    """Heads 0 and 1 ask the same with opposite signs; the query has no RoPE part."""
    rest = bytes(2 * (RANK - KEY))
    for head in range(INDEX_HEADS):
        yield bytes(2 * ROPE * RANK)
        for row in reading.query:
            yield (
                row if head == 0 else _negative(row) if head == 1 else bytes(2 * KEY)
            ) + rest


def _dense(prefix: str) -> Iterator[Weight]:
    yield from _feed_forward(f"{prefix}mlp.", DENSE_WIDTH)


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
    return (_at(i, 2 * HIDDEN) for i in range(HIDDEN))


def _ones(name: str, count: int) -> Weight:
    return name, (count,), iter([_bf16(1.0) * count])


def _at(index: int, width: int, value: float = 1.0) -> bytes:
    """A row with one element."""
    return bytes(2 * index) + _bf16(value) + bytes(2 * (width - index - 1))


def _bf16(value: float) -> bytes:
    """Rounded to nearest, ties away from zero; little-endian."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return struct.pack("<H", (bits + 0x8000) >> 16)


def _signs(draw: random.Random, count: int, size: float) -> bytes:
    return _signed(draw.randbytes(count // 8), size)


def _signed(bits: bytes, size: float) -> bytes:
    """One element a bit: `size`, or minus `size`."""
    if size not in _BYTES:
        plus, minus = _bf16(size), _bf16(-size)
        _BYTES[size] = [
            b"".join(plus if byte >> i & 1 else minus for i in range(8))
            for byte in range(256)
        ]
    return b"".join(map(_BYTES[size].__getitem__, bits))


_BYTES: dict[float, list[bytes]] = {}

_GRID = 32
_NORMAL = [
    _bf16(round(_GRID * statistics.NormalDist().inv_cdf((i + 0.5) / 256)) / _GRID)
    for i in range(256)
]


def _normals(draw: random.Random, count: int) -> bytes:
    """From a normal distribution's 256 quantiles, in steps of 1 / `_GRID`."""
    return b"".join(map(_NORMAL.__getitem__, draw.randbytes(count)))


def _negative(row: bytes) -> bytes:
    return bytes(b ^ 0x80 if i % 2 else b for i, b in enumerate(row))
