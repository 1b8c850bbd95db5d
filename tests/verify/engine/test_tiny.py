"""The tiny model's file, and what the model that is in it does: a reference in torch."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verify.engine.tiny import config
from verify.engine.tiny import weights as tiny
from verify.engine.tiny.checkpoint import write

torch = pytest.importorskip("torch")

Weights = Callable[[str], Any]
READ = 2048


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def header(folder: Path) -> dict[str, Any]:
    with (folder / "model.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        found = json.loads(file.read(size))
    return {"": size, **found}


@pytest.fixture(scope="module")
def weights(folder: Path, header: dict[str, Any]) -> Weights:
    """Tensors by name, mapped and not copied."""
    path = folder / "model.safetensors"
    size = path.stat().st_size
    whole = torch.from_file(str(path), size=size, dtype=torch.uint8)

    def one(name: str) -> Any:
        start, end = (8 + header[""] + i for i in header[name]["data_offsets"])
        return whole[start:end].view(torch.bfloat16).view(header[name]["shape"])

    return one


def test_the_header_accounts_for_every_byte(
    folder: Path, header: dict[str, Any]
) -> None:
    end = 0
    for name, entry in header.items():
        if name:
            assert entry["dtype"] == "BF16"
            assert entry["data_offsets"] == [end, end + 2 * math.prod(entry["shape"])]
            end = entry["data_offsets"][1]
    assert header[""] % 8 == 0
    size = (folder / "model.safetensors").stat().st_size
    assert size == 8 + header[""] + end


def test_shapes_are_the_configs(folder: Path, header: dict[str, Any]) -> None:
    written = json.loads((folder / "config.json").read_text())
    attention = "model.layers.2.self_attn."
    assert written == config.CONFIG
    assert header["lm_head.weight"]["shape"] == [
        written["vocab_size"],
        written["hidden_size"],
    ]
    assert header[f"{attention}q_b_proj.weight"]["shape"] == [
        written["num_attention_heads"]
        * (written["qk_nope_head_dim"] + written["qk_rope_head_dim"]),
        written["q_lora_rank"],
    ]
    assert header[f"{attention}indexer.wq_b.weight"]["shape"] == [
        written["index_n_heads"] * written["index_head_dim"],
        written["q_lora_rank"],
    ]
    experts = {
        name.split(".")[5] for name in header if ".layers.1.mlp.experts." in name
    }
    assert len(experts) == written["n_routed_experts"]


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    name = "model.safetensors"
    again = write(tmp_path) / name
    with (folder / name).open("rb") as old, again.open("rb") as new:
        while block := old.read(1 << 24):
            assert block == new.read(1 << 24)


def test_more_layers_change_nothing_but_the_work() -> None:
    def read(layers: int) -> dict[str, tuple[tuple[int, ...], bytes]]:
        return {
            name: (shape, b"" if rows is None else next(rows))
            for name, shape, rows in tiny.tensors(random.Random(0), layers)
        }

    deep, flat = read(4), read(2)
    moved = {name.replace("layers.2.", "layers.4."): w for name, w in flat.items()}
    assert {name: deep[name] for name in moved} == moved
    for name in deep.keys() - moved.keys():
        assert name.startswith(("model.layers.2.", "model.layers.3."))
    assert deep["model.layers.3.self_attn.o_proj.weight"][1] == b""
    assert deep["model.layers.3.self_attn.indexer.wk.weight"][0] == (128, 1024)


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("layer", range(3))
def test_no_two_tokens_tie(model: Model, layer: int, rotated: bool) -> None:
    """In fp8, as releases score them: as they are, and turned by a Hadamard transform."""
    indexer, tokens = model.layers[layer], model.embedding[:3000].float()
    turn = hadamard(config.INDEX_DIM) if rotated else torch.eye(config.INDEX_DIM)
    q = fp8(indexer.ask(tokens[7]) @ turn)
    k = fp8(indexer.keys(tokens) @ turn)
    scores = (torch.relu(k @ q.T) * (indexer.gates @ tokens[7])).sum(-1)
    agree = torch.sign(q[0]) * torch.sign(k)
    most = (agree.sum(-1) == agree.sum(-1).max()).nonzero().flatten()
    assert len(scores.unique()) == len(scores)
    assert scores.argmax() in most


def hadamard(size: int) -> Any:
    bits = [[(i & j).bit_count() % 2 for j in range(size)] for i in range(size)]
    return (1.0 - 2.0 * torch.tensor(bits)) * size**-0.5


def fp8(x: Any) -> Any:
    """Rounded to bfloat16, then to e4m3 with a scale a row."""
    x = x.bfloat16().float()
    scale = x.abs().amax(-1, keepdim=True) / 448
    return (x / scale).to(torch.float8_e4m3fn).float() * scale


def test_what_it_says_does_not_depend_on_an_order(model: Model) -> None:
    """Positions shuffled: other ties, other sums, the same bits. More than are read."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 2000, (READ + 1000,), generator=draw).tolist()
    seen, token = ids[:-1], ids[-1]
    hidden = model.target_hidden(ids)
    for _ in range(3):
        random.Random(0).shuffle(seen)
        again = model.target_hidden([*seen, token])
        assert torch.equal(hidden, again)
        assert torch.equal(hidden.pow(2).sum(), again.flip(0).pow(2).sum())
    memory = hidden[tiny.KEY + tiny.VALUE : -1]
    assert torch.equal(memory.bfloat16().float(), memory)
    assert memory.std() > 0.3


class Model:
    """The model as its layers compute it: norms, projections, indexer, mean, mixing."""

    def __init__(self, weights: Weights) -> None:
        self.embedding = weights("model.embed_tokens.weight")
        self.head = weights("lm_head.weight").float()
        self.layers = [Layer(weights, f"model.layers.{i}.") for i in range(3)]
        self.eh = weights("model.layers.2.eh_proj.weight").float()

    def target(self, ids: list[int]) -> int:
        return self.next(self.target_hidden(ids))

    def target_hidden(self, ids: list[int]) -> Any:
        start = norm(self.embedding[ids].float())
        hidden = self.embedding[ids[-1]].float()
        for layer in self.layers[:2]:
            hidden = hidden + layer.read(norm(hidden), start)
        return hidden

    def draft(self, seen: list[int], token: int) -> int:
        """seen: what the draft's KV holds, never the prompt's first token."""
        start = norm(self.embedding[[*seen, token]].float())
        hidden = torch.cat((start, norm(torch.randn_like(start))), dim=1) @ self.eh.T
        last = self.layers[2].read(norm(hidden[-1]), norm(hidden[:-1]))
        return self.next(hidden[-1] + last)

    def next(self, hidden: Any) -> int:
        return int((norm(hidden) @ self.head.T).argmax())


class Layer:
    """One attention; what is a product of weights alone is multiplied once."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        def one(name: str) -> Any:
            return weights(f"{prefix}self_attn.{name}.weight")

        heads = config.INDEX_HEADS
        self.q_a, self.kv_a = one("q_a_proj").float(), one("kv_a_proj_with_mqa").float()
        values = one("kv_b_proj").view(config.HEADS, 2 * config.NOPE, -1)[
            :, config.NOPE :
        ]
        self.mix = one("o_proj").float() @ values.reshape(-1, config.RANK).float()
        says = len(tiny._GATES)
        self.q = one("indexer.wq_b").view(heads, -1, config.RANK)
        self.gates = one("indexer.weights_proj")
        assert not self.q[says:].any()
        assert not self.gates[says:].any()
        assert not one("q_b_proj").any()
        self.q, self.gates = self.q[:says].float(), self.gates[:says].float()
        self.k, self.seen = one("indexer.wk").float(), one("indexer.k_norm").float()

    def ask(self, x: Any) -> Any:
        return (self.q @ norm(self.q_a @ x).bfloat16().float()).bfloat16().float()

    def keys(self, x: Any) -> Any:
        k = torch.nn.functional.layer_norm(x @ self.k.T, (config.INDEX_DIM,))
        return (k * self.seen).bfloat16().float()

    def read(self, asks: Any, seen: Any) -> Any:
        """asks: [hidden]. seen: [m, hidden], those to choose from."""
        scores = torch.relu(self.keys(seen) @ self.ask(asks).T) * (self.gates @ asks)
        chosen = scores.sum(-1).topk(min(READ, len(seen))).indices
        latent = norm((seen[chosen] @ self.kv_a.T)[:, : config.RANK])
        return self.mix @ latent.bfloat16().float().mean(0).bfloat16().float()


def norm(x: Any) -> Any:
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return normed.bfloat16().float()


@pytest.fixture(scope="module")
def model(weights: Weights) -> Model:
    return Model(weights)


PROMPT, SAID = 300, 30


@pytest.fixture(scope="module")
def ids(model: Model) -> list[int]:
    """A prompt and what the target says to it."""
    draw = torch.Generator().manual_seed(0)
    made = torch.randint(10, 31000, (PROMPT,), generator=draw).tolist()
    for _ in range(SAID):
        made.append(model.target(made))
    return list(made)


def test_an_embedding_is_what_its_norm_leaves(weights: Weights) -> None:
    rows = weights("model.embed_tokens.weight")[:100]
    assert torch.equal(norm(rows.float()), rows.float())


def test_names_are_distinct(weights: Weights) -> None:
    start = tiny.KEY
    names = weights("model.embed_tokens.weight")[:, start : start + tiny.NAME] > 0
    bits = (names * 2 ** torch.arange(tiny.NAME)).sum(-1)
    assert len(bits.unique()) == config.VOCABULARY


def test_drafts_are_accepted_now_and_then(model: Model, ids: list[int]) -> None:
    right = [
        model.draft(ids[1:i], ids[i]) == ids[i + 1] for i in range(PROMPT, len(ids) - 1)
    ]
    assert 0.3 < sum(right) / len(right) < 0.95


@pytest.mark.parametrize(
    ("spoiled", "most"), [(slice(64, 128), 0.4), (slice(64, 65), 0.98)]
)
def test_another_page_or_slot_gives_other_tokens(
    model: Model, ids: list[int], spoiled: slice, most: float
) -> None:
    """A page (64 tokens of 300) or one slot read as what another place holds."""
    same = 0
    for end in range(PROMPT, len(ids)):
        wrong = list(ids[:end])
        wrong[spoiled] = wrong[: len(wrong[spoiled])]
        same += model.target(wrong) == ids[end]
    assert same / SAID < most
