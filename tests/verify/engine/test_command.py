"""The command over a stand-in sglang: what it compares, says, writes and ends with."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patcher.results import Exit, Reason, Refusal
from tests.verify.engine import kit
from verify.cli import bench
from verify.engine import engine, request, sides
from verify.engine.report import model
from verify.engine.request import EngineOptions

QUICK = ("--rounds", "1", "--new-tokens", "12", "--prompt", "20")

Go = Callable[..., tuple[int, str, str]]


@pytest.fixture
def go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Go:
    """Runs the command with a stand-in environment: exit code, stdout, stderr."""

    def one(
        tree: Path, *arguments: object, site: Path | None = None
    ) -> tuple[int, str, str]:
        place = site or kit.site(tmp_path / "site")
        monkeypatch.setenv("PYTHONPATH", str(place))
        given = [tree, "--engine", "tiny", "--python", sys.executable, *arguments]
        code = bench.main([str(a) for a in given])
        return (code, *capsys.readouterr())

    return one


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in engine reads no model."""
    monkeypatch.setattr(
        "verify.engine.tiny.checkpoint.write", lambda folder, *_: folder
    )


def test_the_same_tokens_in_less_time(go: Go, tmp_path: Path) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    code, out, err = go(
        kit.tree(tmp_path / "tree"), *QUICK, "--rounds", 3, "--bs", "1,2",
        "--json", file, "--report", folder,
    )  # fmt: skip
    assert code == 0, err
    found = model.read(file)
    assert [s.side for s in found.starts] == [
        "original", "patched", "gates off", "gates off", "patched", "original",
    ]  # fmt: skip
    assert [c.bs for c in found.cells] == [1, 2]
    for cell in found.cells:
        original, patched, off = cell.results
        assert {r.status for r in cell.results} == {"identical"}
        assert (patched.verdict, off.verdict) == ("FASTER", "SAME")
        assert original.step_ms is not None
        assert original.step_ms.value == pytest.approx(4)
        assert [len(start) for start in patched.readings] == [3, 3]
    assert "tokens identical in 4 of 4" in out
    assert found.gates["gates off"] == {kit.GATE: "0"}
    assert found.gates["patched"] == {kit.GATE: None}
    assert (folder / "engine.json").read_text() == file.read_text()
    assert "The same tokens" in (folder / "engine.html").read_text()


def test_a_report_matches_the_shipped_schema(go: Go, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    file = tmp_path / "engine.json"
    assert go(kit.tree(tmp_path / "tree"), *QUICK, "--json", file)[0] == 0
    jsonschema.validate(
        json.loads(file.read_text()), json.loads(model.SCHEMA_FILE.read_text())
    )


def test_the_shipped_schema_is_the_models() -> None:
    assert model.SCHEMA_FILE.read_text(encoding="utf-8") == model.schema_text()


@pytest.mark.parametrize(
    ("planted", "said", "status", "headline"),
    [
        (
            "SHIFT = 1",
            "patched: request 0: token 1 differs: ",
            "different",
            "Not the same tokens",
        ),
        (
            "MORE = 2",
            "the same tokens in 12 verify steps instead of 10",
            "other drafts",
            "The same tokens, other drafts",
        ),
    ],
)
def test_other_tokens_or_counts_are_not_identical(
    go: Go, tmp_path: Path, planted: str, said: str, status: str, headline: str
) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n")
    code, out, _ = go(tree, *QUICK, "--json", file, "--report", folder)
    assert code == 1
    assert said in out
    original, patched, off = model.read(file).cells[0].results
    assert [r.status for r in (original, patched, off)] == [
        "identical", status, "identical",
    ]  # fmt: skip
    assert patched.ratio is patched.verdict is None
    assert headline in (folder / "engine.html").read_text()


@pytest.mark.parametrize("planted", ["NO_START = True", "RAISES = True"])
def test_a_patched_engine_that_fails_is_a_difference(
    go: Go, tmp_path: Path, planted: str
) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n", gated=False)
    code, out, err = go(tree, *QUICK)
    assert code == 1
    assert "3 steps, patched: failed: " in out
    assert ("no such kernel" if "START" in planted else "illegal memory access") in err


def test_an_original_engine_that_fails_says_its_last_words(
    go: Go, tmp_path: Path
) -> None:
    broken = f"{kit.ORIGINAL}NO_START = True\n"
    code, _, err = go(
        kit.tree(tmp_path / "tree", original=broken), *QUICK,
        site=kit.site(tmp_path / "site", backend=broken),
    )  # fmt: skip
    assert code == 4
    assert "the engine of the originals failed: it ended with exit status 3" in err
    assert "RuntimeError: no such kernel" in err


def test_where_the_original_differs_from_itself_nothing_is_compared(
    go: Go, tmp_path: Path
) -> None:
    flaky, file = f"{kit.ORIGINAL}FLAKY = 2\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=flaky), *QUICK, "--bs", "1,2",
        "--json", file, site=kit.site(tmp_path / "site", backend=flaky),
    )  # fmt: skip
    assert code == 4
    first = (
        "the original differs from itself in 1 of 2 cells, first in 3 steps, 2 x 20, "
    )
    assert f"{first}request 0: token 1 differs: " in out
    one, two = model.read(file).cells
    assert {r.status for r in one.results} == {"identical"}
    assert {r.status for r in two.results} == {"not comparable"}
    assert all(r.asked == 4 and r.ratio is None for r in two.results)


def test_a_difference_beside_a_cell_that_cannot_be_compared_is_one(
    go: Go, tmp_path: Path
) -> None:
    flaky, file = f"{kit.ORIGINAL}FLAKY = 2\n", tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}SHIFT = 1\n", flaky), *QUICK,
        "--bs", "1,2", "--json", file, site=kit.site(tmp_path / "site", backend=flaky),
    )  # fmt: skip
    assert code == 1
    one, two = (cell.results[1].status for cell in model.read(file).cells)
    assert (one, two) == ("different", "not comparable")


def test_drafts_of_an_original_that_accepts_others_every_time_prove_nothing(
    go: Go, tmp_path: Path
) -> None:
    """As with the stale top-k plan, whose rows hold what was in that memory before."""
    drifts, file = f"{kit.ORIGINAL}DRIFTS = True\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=drifts), *QUICK, "--quick", "--json", file,
        site=kit.site(tmp_path / "site", backend=drifts),
    )  # fmt: skip
    assert code == 4
    (cell,) = model.read(file).cells
    assert {r.status for r in cell.results} == {"other drafts"}
    assert (
        "original: request 0: the same tokens in 13 verify steps instead of 11" in out
    )


@pytest.mark.parametrize(("more", "code"), [((), 1), (("--beside",), 4)])
def test_an_engine_that_finds_no_memory_is_named(
    go: Go, tmp_path: Path, more: tuple[str, ...], code: int
) -> None:
    """Beside others it proves nothing; in their place it is a difference."""
    file = tmp_path / "engine.json"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}FULL = 2\n", gated=False)
    found, _, err = go(tree, *QUICK, *more, "--json", file)
    assert found == code
    assert "; out of GPU memory: patched at 3 steps" in model.read(file).summary
    assert "failed: out of GPU memory. Tried to allocate 530.00 MiB" in err
    assert [r.status for r in model.read(file).cells[0].results] == [
        "identical", "no memory",
    ]  # fmt: skip


def test_an_original_engine_that_finds_no_memory_says_so(
    go: Go, tmp_path: Path
) -> None:
    full = f"{kit.ORIGINAL}FULL = 1\n"
    code, _, err = go(
        kit.tree(tmp_path / "tree", original=full), *QUICK,
        site=kit.site(tmp_path / "site", backend=full),
    )  # fmt: skip
    assert code == 4
    assert "originals failed: out of GPU memory. Tried to allocate 530.00 MiB" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "an engine would take "),
        (("--beside",), "3 engines beside each other would take "),
    ],
)
def test_engines_that_do_not_fit_are_not_started(
    go: Go, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    tree, site = kit.tree(tmp_path / "tree"), kit.site(tmp_path / "site", free=3)
    code, _, err = go(tree, *QUICK, *more, site=site)
    assert code == 4
    assert f"a GPU: {said}" in err
    assert "3.0 of 140.0 GiB are free" in err
    assert "up in" not in err


def test_a_fallback_that_is_logged_is_reported(go: Go, tmp_path: Path) -> None:
    line = "NSA metadata kernel fill is unavailable, using the Python path from now on"
    route = "INFO x: NSA metadata route: in-graph"
    prints = f"PRINTS = ({line!r}, 'else', {route!r}, {route!r})\n"
    file = tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{prints}"), *QUICK, "--json", file
    )
    assert code == 0
    starts = {start.side: start for start in model.read(file).starts}
    assert starts["patched"].routes == ["in-graph"]
    assert starts["original"].routes == []
    assert f"3 steps, patched: logged: {line}" in out
    assert "else" not in out


def test_a_run_that_is_stopped_leaves_what_it_has(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> Iterator[Any]:
        for count, found in enumerate(whole(*arguments), 1):
            yield found
            if count == 2:
                raise Refusal(Reason("", "", "stopped"), code=Exit.UNAVAILABLE)

    whole = engine.measure
    monkeypatch.setattr(engine, "measure", stopped)
    folder = tmp_path / "out"
    code, _, err = go(
        kit.tree(tmp_path / "tree"), *QUICK, "--steps", "3,4", "--report", folder
    )
    assert (code, "stopped" in err) == (4, True)
    found = model.read(folder / "engine.json")
    assert found.exit_code == 4
    assert found.summary.startswith("incomplete, 2 of 12 starts")
    assert [(c.steps, [r.status for r in c.results]) for c in found.cells] == [
        (3, ["identical", "identical", "not run"])
    ]
    assert "Nothing proved" in (folder / "engine.html").read_text()


def test_an_output_that_cannot_be_written_is_refused_first(
    go: Go, tmp_path: Path
) -> None:
    tree, file = kit.tree(tmp_path / "tree"), tmp_path / "nowhere/engine.json"
    code, _, err = go(tree, *QUICK, "--json", file)
    assert code == 4
    assert "nowhere/engine.json: cannot be used: No such file" in err
    assert "1 of 6" not in err


def test_the_installed_package_is_only_read(go: Go, tmp_path: Path) -> None:
    site, tree = kit.site(tmp_path / "site"), kit.tree(tmp_path / "tree")
    before = _listing(site), _listing(tree)
    assert go(tree, *QUICK, site=site)[0] == 0
    assert (_listing(site), _listing(tree)) == before


def _listing(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_patch_without_a_gate_has_two_sides(go: Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, _, _ = go(kit.tree(tmp_path / "tree", gated=False), *QUICK, "--json", file)
    assert code == 0
    sides = [s.side for s in model.read(file).starts]
    assert sides == ["original", "patched", "patched", "original"]


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
    go: Go, tmp_path: Path, arguments: list[str], said: str
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


def test_a_tree_without_patches_is_refused(go: Go, tmp_path: Path) -> None:
    site = kit.site(tmp_path / "site")
    code, _, err = go(site, *QUICK, site=site)
    assert code == 3
    assert "apply-nsa-opt first" in err


def test_engine_arguments_come_last_and_are_json(go: Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree"), *QUICK, "--json", file,
        "--engine-arg", "max-running-requests=7", "--engine-arg", "dtype=bfloat16",
    )  # fmt: skip
    assert code == 0
    given = model.read(file).engine_args
    assert given["max_running_requests"] == 7
    assert given["dtype"] == "bfloat16"


def test_more_requests_than_slots_is_noted(go: Go, tmp_path: Path) -> None:
    code, out, _ = go(
        kit.tree(tmp_path / "tree"), *QUICK, "--bs", "2",
        "--engine-arg", "max_running_requests=1",
    )  # fmt: skip
    assert code == 0
    assert "more requests than max_running_requests" in out


LOAD = ("--load", "13", "--bs", "2", "--quick")


def test_requests_that_come_and_go_are_compared(go: Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    code, out, _ = go(kit.tree(tmp_path / "tree"), *QUICK, *LOAD, "--json", file)
    assert code == 0
    found = model.read(file)
    assert [s.side for s in found.starts] == ["original", "patched"]
    cell, load = found.cells
    assert (cell.bs, cell.load, load.bs, load.load) == (2, 0, 2, 13)
    assert [r.status for r in load.results] == ["identical", "identical"]
    assert load.results[1].step_ms is None
    assert load.results[1].tokens_a_step > 0
    assert [r.asked for r in load.results] == [2, 2]
    assert "13 by 2" in out


def test_a_token_that_differs_among_them_is_found(go: Go, tmp_path: Path) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}LOSES = True\n")
    code, out, _ = go(tree, *QUICK, *LOAD)
    assert code == 1
    assert "3 steps, 13 come and go, patched: request " in out
    assert "differs: none instead of" in out


def test_sides_beside_each_other_are_timed_one_at_a_time(
    go: Go, tmp_path: Path
) -> None:
    alone = f"ALONE = {str(tmp_path / 'lock')!r}\n"
    original, file = f"{kit.ORIGINAL}{alone}", tmp_path / "engine.json"
    code, _, err = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{alone}", original), *QUICK,
        "--beside", "--gpu-time", "--rounds", 5, "--json", file,
        site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0, err
    found = model.read(file)
    assert found.beside
    assert [s.side for s in found.starts] == ["original", "patched", "gates off"]
    for cell in found.cells:
        old, new, off = cell.results
        assert (old.status, new.verdict, off.verdict) == ("identical", "FASTER", "SAME")
        assert [len(start) for start in new.readings] == [5]
        assert (old.gpu_ms, new.gpu_ms) == (pytest.approx(1), pytest.approx(0.5))


def test_for_tokens_sides_beside_each_other_are_asked_at_once(
    go: Go, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    meets = f"MEETS = {str(meeting)!r}\n"
    original, file = f"{kit.ORIGINAL}{meets}", tmp_path / "engine.json"
    code, out, err = go(
        kit.tree(tmp_path / "tree", f"{kit.PATCHED}{meets}", original), *QUICK,
        "--beside", "--quick", "--json", file,
        site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0, err
    (cell,) = model.read(file).cells
    assert [(r.side, r.status, r.step_ms) for r in cell.results] == [
        ("original", "identical", None), ("patched", "identical", None),
    ]  # fmt: skip
    assert "no times" in out


@pytest.mark.parametrize("planted", ["NO_START = True", "RAISES = True"])
def test_a_patched_engine_that_fails_beside_the_original_is_a_difference(
    go: Go, tmp_path: Path, planted: str
) -> None:
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}{planted}\n", gated=False)
    file = tmp_path / "engine.json"
    code, out, _ = go(tree, *QUICK, "--beside", "--bs", "1,2", "--json", file)
    assert code == 1
    assert "3 steps, patched: failed: " in out
    for cell in model.read(file).cells:
        assert [r.status for r in cell.results] == ["identical", "failed"]


def test_engines_beside_each_other_have_ports_of_their_own(
    go: Go, tmp_path: Path
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


def test_the_variables_of_a_server_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = sides.Package(kit.site(tmp_path / "site") / "sglang", tmp_path / "p", [])
    side = sides.EngineSide("original", {}, {})
    assert package.environment(side, {"HOW": "ours"})["HOW"] == "ours"
    monkeypatch.setenv("HOW", "theirs")
    assert package.environment(side, {"HOW": "ours"})["HOW"] == "theirs"


def test_the_engine_that_has_no_trace_has_no_gpu_time(go: Go, tmp_path: Path) -> None:
    original, file = f"{kit.ORIGINAL}NO_TRACE = True\n", tmp_path / "engine.json"
    code, _, _ = go(
        kit.tree(tmp_path / "tree", original=original), *QUICK, "--gpu-time", "--quick",
        "--json", file, site=kit.site(tmp_path / "site", backend=original),
    )  # fmt: skip
    assert code == 0
    (cell,) = model.read(file).cells
    assert cell.results[0].gpu_ms is None
    assert cell.results[1].gpu_ms == pytest.approx(0.5)


def test_a_patch_can_be_left_out_in_a_side_of_its_own(go: Go, tmp_path: Path) -> None:
    file, tree = tmp_path / "engine.json", kit.tree(tmp_path / "tree")
    more = ("--beside", "--rounds", 5, "--without", "in-graph", "--json", file)
    assert go(tree, *QUICK, *more)[0] == 0
    found = model.read(file)
    sides = ["original", "patched", "without in-graph", "gates off"]
    assert [s.side for s in found.starts] == sides
    assert found.gates["without in-graph"] == {kit.GATE: "0"}
    assert found.cells[0].results[2].verdict == "SAME"
    code, _, err = go(tree, *QUICK, "--without", "fan-out")
    assert code == 2
    assert "there is no patch of the tree 'fan-out'" in err


SOAK = ("--soak", "0.02", "--bs", "2", "--quick")


def test_a_soak_compares_request_by_request(go: Go, tmp_path: Path) -> None:
    file, folder = tmp_path / "engine.json", tmp_path / "out"
    code, out, err = go(
        kit.tree(tmp_path / "tree"), *QUICK, *SOAK, "--json", file, "--report", folder
    )
    assert code == 0, err
    (soak,) = model.read(file).soaks
    assert soak.rounds >= 1
    assert soak.requests >= 12
    assert 0 < soak.aborted < soak.requests
    assert soak.seconds >= 1.2
    for side in soak.sides:
        assert (side.differing, side.varied) == (0, 0)
        assert side.memory[-1].host_mb > 1
        assert side.memory[-1].gpu_mb is None
    assert "requests, " in out
    assert "0 differ" in out
    assert "A load that goes on" in (folder / "engine.html").read_text()


def test_a_soak_finds_a_token_that_differs(go: Go, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    tree = kit.tree(tmp_path / "tree", f"{kit.PATCHED}LOSES = True\n")
    code, out, _ = go(tree, *QUICK, *SOAK, "--json", file)
    assert code == 1
    old, new = model.read(file).soaks[0].sides
    assert old.differing == 0
    assert new.differing > 0
    assert "3 steps, soak, patched: round 1, request " in out
    assert "differs: none instead of" in out


def test_a_request_of_a_soak_to_which_the_original_varies_proves_nothing(
    go: Go, tmp_path: Path
) -> None:
    varies, file = f"{kit.ORIGINAL}VARIES = True\n", tmp_path / "engine.json"
    code, out, _ = go(
        kit.tree(tmp_path / "tree", original=varies), *QUICK, *SOAK, "--json", file,
        site=kit.site(tmp_path / "site", backend=varies),
    )  # fmt: skip
    assert code == 0
    side = model.read(file).soaks[0].sides[1]
    assert side.differing == 0
    assert side.varied > 0
    assert "prove nothing: the original varies there" in out
