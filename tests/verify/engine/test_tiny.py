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

from verify.engine import tiny

torch = pytest.importorskip("torch")

Weights = Callable[[str], Any]
READ = 2048


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("tiny"))


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
    config = json.loads((folder / "config.json").read_text())
    attention = "model.layers.2.self_attn."
    assert config == tiny.CONFIG
    assert header["lm_head.weight"]["shape"] == [
        config["vocab_size"],
        config["hidden_size"],
    ]
    assert header[f"{attention}q_b_proj.weight"]["shape"] == [
        config["num_attention_heads"]
        * (config["qk_nope_head_dim"] + config["qk_rope_head_dim"]),
        config["q_lora_rank"],
    ]
    assert header[f"{attention}indexer.wq_b.weight"]["shape"] == [
        config["index_n_heads"] * config["index_head_dim"],
        config["q_lora_rank"],
    ]
    experts = {
        name.split(".")[5] for name in header if ".layers.1.mlp.experts." in name
    }
    assert len(experts) == config["n_routed_experts"]


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    name = "model.safetensors"
    again = tiny.write(tmp_path) / name
    with (folder / name).open("rb") as old, again.open("rb") as new:
        while block := old.read(1 << 24):
            assert block == new.read(1 << 24)


def test_more_layers_change_nothing_but_the_work() -> None:
    def read(layers: int) -> dict[str, tuple[tuple[int, ...], bytes]]:
        made = tiny._weights(random.Random(0), layers)
        return {
            name: (shape, b"" if rows is None else next(rows))
            for name, shape, rows in made
        }

    deep, flat = read(4), read(2)
    moved = {name.replace("layers.2.", "layers.4."): w for name, w in flat.items()}
    assert {name: deep[name] for name in moved} == moved
    for name in deep.keys() - moved.keys():
        assert name.startswith(("model.layers.2.", "model.layers.3."))
    assert deep["model.layers.3.self_attn.o_proj.weight"][1] == b""
    assert deep["model.layers.3.self_attn.indexer.wk.weight"][0] == (128, 1024)


def test_queries_and_keys_add_up_to_the_same_in_any_order() -> None:
    """A norm's scale has 8 bits; their products with 128 grid values fit in 24."""
    grid = {struct.unpack("<f", b"\0\0" + n)[0] * 32 for n in tiny._NORMAL}
    assert all(value == int(value) for value in grid)
    assert len(grid) > 100
    assert 128 * max(grid) * 255 < 1 << 24


class Model:
    """The model as its layers compute it: norms, projections, indexer, mean, mixing."""

    def __init__(self, weights: Weights) -> None:
        self.embedding = weights("model.embed_tokens.weight")
        self.head = weights("lm_head.weight").float()
        self.layers = [Layer(weights, f"model.layers.{i}.") for i in range(3)]
        self.eh = weights("model.layers.2.eh_proj.weight").float()

    def target(self, ids: list[int]) -> int:
        hidden = norm_input = self.embedding[ids].float()
        for layer in self.layers[:2]:
            hidden = hidden[-1:] + layer.read(norm(hidden), norm(norm_input))
        return self.next(hidden)

    def draft(self, seen: list[int], token: int) -> int:
        """seen: what the draft's KV holds, never the prompt's first token."""
        start = norm(self.embedding[[*seen, token]].float())
        hidden = torch.cat((start, norm(torch.randn_like(start))), dim=1) @ self.eh.T
        last = self.layers[2].read(norm(hidden), norm(hidden[:-1]))
        return self.next(hidden[-1:] + last)

    def next(self, hidden: Any) -> int:
        return int((norm(hidden) @ self.head.T).argmax())


class Layer:
    """One attention; what is a product of weights alone is multiplied once."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        def one(name: str) -> Any:
            return weights(f"{prefix}self_attn.{name}.weight")

        heads = tiny.INDEX_HEADS
        self.q_a, self.kv_a = one("q_a_proj").float(), one("kv_a_proj_with_mqa").float()
        values = one("kv_b_proj").view(tiny.HEADS, 2 * tiny.NOPE, -1)[:, tiny.NOPE :]
        self.mix = one("o_proj").float() @ values.reshape(-1, tiny.RANK).float()
        self.q = one("indexer.wq_b").view(heads, -1, tiny.RANK)
        assert not self.q[2:].any()
        assert not one("q_b_proj").any()
        self.q = self.q[:2].float()
        self.k, self.seen = one("indexer.wk").float(), one("indexer.k_norm").float()
        self.signs = one("indexer.weights_proj")[:2].float()

    def read(self, query: Any, keys: Any) -> Any:
        """query: [n, hidden], its last row asks. keys: [m, hidden], those to choose from."""
        ask = query[-1]
        q = self.q @ norm(self.q_a @ ask)
        k = keys @ self.k.T
        k = torch.nn.functional.layer_norm(k, k.shape[-1:]) * self.seen
        scores = (torch.relu(k @ q.T) * (self.signs @ ask)).sum(-1)
        chosen = scores.topk(min(READ, len(scores))).indices
        latent = norm((keys[chosen] @ self.kv_a.T)[:, : tiny.RANK]).mean(0)
        return self.mix @ latent


def norm(x: Any) -> Any:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


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
    assert torch.equal(norm(rows.float()).bfloat16(), rows)


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
