"""The child's protocol, with an sglang that is a stand-in."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.verify.engine import kit
from verify.engine import child
from verify.engine.server import Server, ServerFailed

ASK = {"seed": 0, "lengths": [5, 6], "vocabulary": 100, "new_tokens": 4}


def server(tmp_path: Path, backend: str = kit.ORIGINAL) -> Server:
    site = kit.site(tmp_path / "site", backend=backend)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return Server(sys.executable, tmp_path / "run", environment)


def test_an_engine_is_started_and_asked(tmp_path: Path) -> None:
    with server(tmp_path) as asked:
        about = asked.start({"model_path": "tiny"})
        assert about["folder"] == str(tmp_path / "site/sglang")
        answer = asked.generate(**ASK)
    assert [len(r["ids"]) for r in answer["requests"]] == [4, 4]
    assert answer["requests"][0]["verify"] == 2
    assert answer["requests"][0]["accepted"] == [1, 1]
    assert answer["seconds"] > 0
    assert "noise on stdout" in asked.printed


def test_a_request_that_raises_is_answered_and_the_next_one_read(
    tmp_path: Path,
) -> None:
    with server(tmp_path, f"{kit.ORIGINAL}RAISES = True\n") as asked:
        asked.start({})
        for _ in range(2):
            with pytest.raises(ServerFailed, match="ValueError: an illegal") as failed:
                asked.generate(**ASK)
        assert any("Traceback" in line for line in asked.printed)
        assert failed.value.lines


def test_an_engine_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    with server(tmp_path, f"{kit.ORIGINAL}NO_START = True\n") as asked:
        with pytest.raises(ServerFailed, match="exit status 3") as failed:
            asked.start({})
        assert failed.value.lines[-1] == "RuntimeError: no such kernel"
        with pytest.raises(ServerFailed, match="ended before it was asked"):
            asked.generate(**ASK)


def test_an_engine_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verify.engine.server.ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr("verify.engine.server.END_TIMEOUT", 0.2)
    with server(tmp_path, f"{kit.ORIGINAL}HANGS = 60\n") as asked:
        asked.start({})
        with pytest.raises(ServerFailed, match=r"no answer within 0\.2 s"):
            asked.generate(**ASK)


def test_prompts_come_from_the_seed_and_keep_to_the_vocabulary() -> None:
    made = child.prompts(3, [50, 60], 1000)
    assert made == child.prompts(3, [50, 60], 1000)
    assert made != child.prompts(4, [50, 60], 1000)
    assert [len(p) for p in made] == [50, 60]
    assert all(10 <= i < 1000 for p in made for i in p)


def test_an_answer_without_speculation_has_no_counts() -> None:
    answer: Any = {"output_ids": [1], "meta_info": {}}
    assert child._request(answer) == {"ids": [1], "verify": 0, "accepted": []}


def test_serve_ends_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    child.serve([json.dumps({"do": "generate", **ASK})], said)
    assert json.loads(said.getvalue())["ok"] is False  # nothing was started


def test_requests_come_and_go_and_some_are_aborted(tmp_path: Path) -> None:
    with server(tmp_path) as asked:
        asked.start({})
        answer = asked.load(
            seed=1, count=13, longest=50, vocabulary=100, new_tokens=40, at_once=3
        )
    said = answer["requests"]
    assert [i for i, r in enumerate(said) if r["aborted"]] == [5, 11]
    assert len({len(r["ids"]) for r in said if not r["aborted"]}) > 5
    assert "at once 3" in asked.printed
    assert "at once 4" not in asked.printed
