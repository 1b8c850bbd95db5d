"""What the options come to: cells, engine arguments, room; and those that make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from patcher.results import Refusal
from tests.verify.engine import kit
from verify.cli import bench
from verify.engine import request
from verify.engine.report import model
from verify.engine.request import EngineOptions


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps: '0' is not a positive number"),
        (["--prompt", "long"], "--prompt: 'long' is not a positive number"),
        (["--new-tokens", "0"], "--new-tokens: must be positive"),
        (["--load", "-1"], "--load: must be positive"),
        (["--soak", "-1"], "--soak: must be positive"),
        (["--engine-arg", "tp_size"], "'tp_size' is not NAME=VALUE"),
        (["--mode", "decode", "--curves"], "not with --engine: --mode, --curves"),
        (["--engine", "tiny:1"], "'tiny:1': tiny has 2 layers or more"),
        (["--engine", "nowhere"], "is no folder with a config.json of a model"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    go: kit.Go, tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, _, err = go(tmp_path, *arguments)
    assert code == 2
    assert said in err


def test_its_options_need_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([str(tmp_path), "--prompt", "3k"]) == 2
    assert "go with --engine" in capsys.readouterr().err
    assert bench.main([str(tmp_path), "--load", "3", "--soak", "1"]) == 2
    assert "go with --engine: --load, --soak" in capsys.readouterr().err


def test_engine_arguments_come_last_and_are_json(go: kit.Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree"), *kit.QUICK, "--json", file,
        "--engine-arg", "max-running-requests=7", "--engine-arg", "dtype=bfloat16",
    )  # fmt: skip
    assert code == 0
    given = model.read(file).engine_args
    assert given["max_running_requests"] == 7
    assert given["dtype"] == "bfloat16"


def test_more_requests_than_slots_is_noted(go: kit.Go, tmp_path: Path) -> None:
    code, out, _ = go(
        kit.tree(tmp_path / "tree"), *kit.QUICK, "--bs", "2",
        "--engine-arg", "max_running_requests=1",
    )  # fmt: skip
    assert code == 0
    assert "more requests than max_running_requests" in out


def test_engines_beside_each_other_have_ports_of_their_own(
    go: kit.Go, tmp_path: Path
) -> None:
    options = EngineOptions(
        tmp_path, "tiny", beside=True, engine_args=("port=31000",), bs=("6",)
    )
    asked = request.read(options)
    ports = [
        (given["port"], given["nccl_port"])
        for given in (asked.arguments("m", 3, turn) for turn in range(2))
    ]
    assert ports == [(31000, 31003), (31500, 31503)]
    assert asked.given["cuda_graph_bs"] == [1, 6]
    assert asked.given["sleep_on_idle"]
    solo = request.read(EngineOptions(tmp_path, "tiny"))
    assert {"port", "nccl_port", "sleep_on_idle"}.isdisjoint(solo.arguments("m", 3, 1))


def test_a_prompt_may_have_fewer_at_once(tmp_path: Path) -> None:
    given = {"prompts": ("3k,120k:4",), "bs": ("1,4", "32"), "steps": ("3", "4")}
    asked = request.read(EngineOptions(tmp_path, "tiny", **given, load=60))
    cells = [(c.prompt, c.bs, c.load) for c in asked.cells if c.steps == 4]
    assert cells == [
        (3072, 1, 0), (3072, 4, 0), (3072, 32, 0), (122880, 1, 0), (122880, 4, 0),
        (122880, 32, 60),
    ]  # fmt: skip
    with pytest.raises(Refusal, match="no --bs is as small"):
        request.read(EngineOptions(tmp_path, "tiny", prompts=("3k:2",), bs=("4",)))


def test_an_engine_has_room_for_what_it_is_asked_and_no_more(tmp_path: Path) -> None:
    def given(*prompts: str, bs: str = "32") -> tuple[int, int, float]:
        asked = request.read(EngineOptions(tmp_path, "tiny", prompts=prompts, bs=(bs,)))
        assert max(asked.given["cuda_graph_bs"]) == asked.given["max_running_requests"]
        tokens = sum(max((cell.lengths for cell in asked.cells), key=sum))
        assert tokens < asked.given["max_total_tokens"] < 1.2 * tokens + 60_000
        return asked.given["chunked_prefill_size"], tokens, asked.needs / 2**30

    assert given("3k")[0] == 8192
    chunk, tokens, needs = given("120k")
    assert chunk == 4096
    cache = tokens * 3 * (512 + 16 + 128 + 132) / 2**30
    assert cache + 5 < needs < cache + 8
    assert given("3k", "120k:8", bs="1,8,32")[2] < 10
    load = EngineOptions(tmp_path, "tiny", prompts=("3k", "120k:2"), bs=("4",), load=9)
    assert request.read(load).given["max_total_tokens"] > 120 * 1024
    deeper = request.read(EngineOptions(tmp_path, "tiny:20", prompts=("120k",)))
    assert (
        deeper.needs
        > request.read(EngineOptions(tmp_path, "tiny", prompts=("120k",))).needs
    )
    assert deeper.environment["PYTORCH_CUDA_ALLOC_CONF"]
    whole = EngineOptions(
        tmp_path, "tiny", prompts=("16k",), engine_args=("chunked_prefill_size=-1",)
    )
    assert request.read(whole).needs / 2**30 > 10
