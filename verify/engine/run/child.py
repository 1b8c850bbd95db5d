"""Runs beside the installed sglang: starts an engine and asks it, JSON line by JSON line.

Answers requests of stdin until its end: start, generate, load, memory. Copied alone to a
folder of its own before it runs, so that nothing of this project can be imported by the
engine. Answers go to the first stdout; what the engine prints goes to stderr. Needs the
standard library and sglang.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ABORTED = 6
"""Of the requests that come and go, every how manieth is aborted."""
RENAMED = {
    "cuda_graph_bs": "cuda_graph_bs_decode",
    "cuda_graph_max_bs": "cuda_graph_max_bs_decode",
}
"""Engine arguments, and what newer releases call them."""


@functools.lru_cache(maxsize=1)
def prompts(seed: int, lengths: tuple[int, ...], vocabulary: int) -> list[list[int]]:
    """Random ids, one prompt a length; the lowest ids mean other things in most models."""
    draw = random.Random(seed)
    low, high = 10, max(11, vocabulary - vocabulary // 32)
    return [[draw.randrange(low, high) for _ in range(n)] for n in lengths]


class Engine:
    """One `sglang.Engine`, greedy."""

    def __init__(self, **arguments: Any) -> None:
        import sglang

        began = time.perf_counter()
        self.engine = sglang.Engine(**_named(arguments))
        self.loads = 0
        self.caches = not arguments.get("disable_radix_cache")
        self.about = {
            "seconds": time.perf_counter() - began,
            "sglang": sglang.__version__,
            "folder": os.path.dirname(os.path.abspath(sglang.__file__)),
        }

    def generate(
        self,
        seed: int,
        lengths: list[int],
        vocabulary: int,
        new_tokens: int,
        profile: bool = False,
    ) -> Json:
        """All prompts at once; `requests` in their order. `seconds` for all of it.

        profile: also `gpu_seconds`, in which the GPU was busy; None if that failed.
        """
        ids = [list(one) for one in prompts(seed, tuple(lengths), vocabulary)]
        with _profiled(self.engine, profile) as busy:
            began = time.perf_counter()
            answers = self.engine.generate(
                input_ids=ids, sampling_params=_greedy(new_tokens)
            )
            seconds = time.perf_counter() - began
        return {
            "seconds": seconds, "requests": [_request(a) for a in answers], **busy,
        }  # fmt: skip

    def memory(self) -> Json:
        """MB that the engine's processes have, on the host and on the GPU (None: unknown)."""
        own = _family(os.getpid())
        query = "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"
        gpu = None
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            said = subprocess.run(
                ["nvidia-smi", *query],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            rows = [
                line.split(",") for line in said.stdout.splitlines() if line.strip()
            ]
            found = [float(used) for pid, used in rows if int(pid) in own]
            gpu = sum(found) if found else None
        return {"host_mb": sum(map(_resident_mb, own)), "gpu_mb": gpu}

    def load(
        self,
        seed: int,
        count: int,
        longest: int,
        vocabulary: int,
        new_tokens: int,
        at_once: int,
        only: int | None = None,
    ) -> Json:
        """Requests that come and go: `at_once` of them wait or run until `count` are done.

        Prompts of 1 to `longest` tokens, as many of a length as of its double; 1 to
        `new_tokens` new ones. Every `ABORTED`th is aborted after up to half a second.
        only: one of them, by itself. None of them finds what an earlier load left in the
        prefix cache: the same load once more has to compute it once more.
        """
        self.loads += 1
        if self.caches:
            self._forget()
        draw = random.Random(seed)
        lengths = [int(longest ** draw.random()) for _ in range(count)]
        counts = [draw.randint(1, new_tokens) for _ in range(count)]
        waits = [draw.random() / 2 for _ in range(count)]
        every = prompts(seed, tuple(lengths), vocabulary)
        gate = asyncio.Semaphore(at_once)

        async def one(i: int) -> Json:
            wait = waits[i] if i % ABORTED == ABORTED - 1 else None
            async with gate:
                return await self._come_and_go(i, every[i], counts[i], wait)

        async def whole() -> list[Json]:
            return await asyncio.gather(
                *map(one, range(count) if only is None else [only])
            )

        began = time.perf_counter()
        answers = self.engine.loop.run_until_complete(whole())
        return {"seconds": time.perf_counter() - began, "requests": answers}

    async def _come_and_go(
        self, number: int, ids: list[int], new_tokens: int, wait: float | None
    ) -> Json:
        """One request of a load; wait: seconds after which it is aborted."""
        # Not one of an earlier load; an abort is of all whose names begin so.
        name = f"load-{self.loads}-{number}."
        asked = asyncio.ensure_future(
            self.engine.async_generate(
                input_ids=ids, sampling_params=_greedy(new_tokens), rid=name
            )
        )
        if wait is None:
            return {**_request(await asked), "aborted": False}
        await asyncio.wait([asked], timeout=wait)
        self.engine.tokenizer_manager.abort_request(name)
        said: Json = {"meta_info": {}}
        with contextlib.suppress(Exception):  # one way to say: aborted
            said = await asked
        return {**_request(said), "aborted": True}

    def _forget(self) -> None:
        """Empties the prefix cache; refused while an aborted request is on its way out."""
        for _ in range(50):
            if self.engine.flush_cache().success:
                return
            time.sleep(0.1)
        print("the prefix cache was not emptied", file=sys.stderr)


def _greedy(new_tokens: int) -> Json:
    return {"temperature": 0, "max_new_tokens": new_tokens, "ignore_eos": True}


def _named(arguments: Json) -> Json:
    """Engine arguments by the names that this release has for them."""
    try:
        from sglang.srt.server_args import ServerArgs
    except ImportError:
        return arguments
    known = getattr(ServerArgs, "__dataclass_fields__", {})
    return {
        RENAMED[name]
        if name not in known and RENAMED.get(name) in known
        else name: value
        for name, value in arguments.items()
    }


@contextlib.contextmanager
def _profiled(engine: Any, wanted: bool) -> Iterator[Json]:
    """Has `gpu_seconds` at its end, if it is wanted."""
    found: Json = {}
    if not wanted:
        yield found
        return
    found["gpu_seconds"] = None
    with tempfile.TemporaryDirectory() as folder:
        how = {"activities": ["GPU"], "with_stack": False, "record_shapes": False}
        try:
            engine.start_profile(output_dir=folder, **how)
        except Exception:
            traceback.print_exc()
            yield found
            return
        yield found
        try:
            engine.stop_profile()
            first = min(Path(folder).rglob("*.trace.json.gz"))
            with gzip.open(first, "rt", encoding="utf-8") as text:
                found["gpu_seconds"] = busy_seconds(json.load(text)["traceEvents"])
        except Exception:
            traceback.print_exc()


def busy_seconds(events: list[Json]) -> float:
    """How long at least one kernel or copy ran, of a trace's events."""
    work = ("kernel", "gpu_memcpy", "gpu_memset")
    spans = [
        (float(event["ts"]), float(event["ts"]) + float(event["dur"]))
        for event in events
        if event.get("cat") in work and "dur" in event
    ]
    busy, end = 0.0, float("-inf")
    for first, last in sorted(spans):
        busy += max(0.0, last - max(first, end))
        end = max(end, last)
    return busy / 1e6


def _family(pid: int) -> set[int]:
    """A process and all that came of it and still runs."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text(errors="replace").rpartition(")")[2].split()
            parents[int(status.parent.name)] = int(fields[1])
    family = {pid}
    while more := {p for p, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _resident_mb(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError):
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


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
    """Answers the questions on stdin."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        serve(sys.stdin, answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # its threads and sockets would be waited for, and nobody needs them


if __name__ == "__main__":
    main()
