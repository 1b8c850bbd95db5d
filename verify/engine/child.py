"""Runs beside the installed sglang: starts an engine and asks it, JSON line by JSON line.

    python child.py probe      prints what this environment has, and ends
    python child.py            answers requests of stdin: start, generate, load; then its end

Copied alone to a folder of its own before it runs, so that nothing of this project can
be imported by the engine. Answers go to the first stdout; what the engine prints goes to
stderr. Needs the standard library and sglang.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import random
import sys
import time
import traceback
from typing import Any

Json = dict[str, Any]
KERNELS = ("sgl_kernel", "deep_gemm")
ABORTED = 6
"""Of the requests that come and go, every how manieth is aborted."""


def probe() -> Json:
    """What there is, without importing sglang; `None` or an empty text for what is not.

    sglang: the package's folder. gpu: the device's name. kernels: which of `KERNELS`.
    """
    found: Json = {"python": sys.version.split()[0], "torch": "", "gpu": ""}
    try:
        import torch

        found["torch"] = torch.__version__
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    except Exception as error:
        found["torch_error"] = f"{type(error).__name__}: {error}"
    found["sglang"] = _folder("sglang")
    try:
        found["release"] = importlib.metadata.version("sglang")
    except importlib.metadata.PackageNotFoundError:
        found["release"] = ""
    found["kernels"] = [name for name in KERNELS if _folder(name)]
    return found


def _folder(name: str) -> str:
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return places[0] if places else ""


def prompts(seed: int, lengths: list[int], vocabulary: int) -> list[list[int]]:
    """Random ids, one prompt a length; the lowest ids mean other things in most models."""
    draw = random.Random(seed)
    low, high = 10, max(11, vocabulary - vocabulary // 32)
    return [[draw.randrange(low, high) for _ in range(n)] for n in lengths]


class Engine:
    """One `sglang.Engine`, greedy."""

    def __init__(self, **arguments: Any) -> None:
        import sglang

        began = time.perf_counter()
        self.engine = sglang.Engine(**arguments)
        self.about = {
            "seconds": time.perf_counter() - began,
            "sglang": sglang.__version__,
            "folder": os.path.dirname(os.path.abspath(sglang.__file__)),
        }

    def generate(
        self, seed: int, lengths: list[int], vocabulary: int, new_tokens: int
    ) -> Json:
        """All prompts at once; `requests` in their order. `seconds` for all of it."""
        ids = prompts(seed, lengths, vocabulary)
        sampling = {"temperature": 0, "max_new_tokens": new_tokens, "ignore_eos": True}
        began = time.perf_counter()
        answers = self.engine.generate(input_ids=ids, sampling_params=sampling)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "requests": [_request(a) for a in answers]}

    def load(
        self,
        seed: int,
        count: int,
        longest: int,
        vocabulary: int,
        new_tokens: int,
        at_once: int,
    ) -> Json:
        """Requests that come and go: `at_once` of them wait or run until `count` are done.

        Prompts of 1 to `longest` tokens, as many of a length as of its double; 1 to
        `new_tokens` new ones. Every `ABORTED`th is aborted after up to half a second.
        """
        work = self._load(seed, count, longest, vocabulary, new_tokens, at_once)
        began = time.perf_counter()
        answers = self.engine.loop.run_until_complete(work)
        return {"seconds": time.perf_counter() - began, "requests": answers}

    async def _load(
        self,
        seed: int,
        count: int,
        longest: int,
        vocabulary: int,
        new_tokens: int,
        at_once: int,
    ) -> list[Json]:
        draw, gate = random.Random(seed), asyncio.Semaphore(at_once)
        lengths = [int(longest ** draw.random()) for _ in range(count)]
        counts = [draw.randint(1, new_tokens) for _ in range(count)]
        waits = [draw.random() / 2 for _ in range(count)]
        every = prompts(seed, lengths, vocabulary)

        async def one(i: int) -> Json:
            sampling = {
                "temperature": 0, "max_new_tokens": counts[i], "ignore_eos": True,
            }  # fmt: skip
            async with gate:
                asked = asyncio.ensure_future(
                    self.engine.async_generate(
                        input_ids=every[i], sampling_params=sampling, rid=f"load-{i}"
                    )
                )
                aborted = i % ABORTED == ABORTED - 1
                if aborted:
                    await asyncio.wait([asked], timeout=waits[i])
                    self.engine.tokenizer_manager.abort_request(f"load-{i}")
                return {**_request(await asked), "aborted": aborted}

        return list(await asyncio.gather(*map(one, range(count))))


def _request(answer: Json) -> Json:
    """verify: target verifications; accepted: how many of them took 0, 1, 2, ... drafts."""
    meta = answer["meta_info"]
    return {
        "ids": list(answer.get("output_ids") or ()),
        "verify": int(meta.get("spec_verify_ct") or 0),
        "accepted": list(meta.get("spec_accept_histogram") or ()),
    }


def serve(lines: Any, answer: Any) -> None:
    """Until `lines` ends. A request that fails is answered, and the next one read."""
    engine: Engine | None = None
    for line in lines:
        request = json.loads(line)
        try:
            do = request.pop("do")
            if do == "start":
                engine = Engine(**request)
                reply = engine.about
            else:
                assert engine is not None
                reply = getattr(engine, do)(**request)
            reply = {"ok": True, **reply}
        except Exception as error:
            traceback.print_exc()
            reply = {"ok": False, "message": f"{type(error).__name__}: {error}"}
        answer.write(json.dumps(reply) + "\n")
        answer.flush()
    if engine is not None:
        engine.engine.shutdown()


def main() -> None:
    """Answers the questions on stdin, or the one of a probe."""
    if sys.argv[1:] == ["probe"]:
        print(json.dumps(probe()))
        return
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        serve(sys.stdin, answer)


if __name__ == "__main__":
    main()
