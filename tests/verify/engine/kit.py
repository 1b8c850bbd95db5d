"""An interpreter's environment made of stand-ins, and a tree whose patch is one line.

The stand-in engine does what `nsa_backend.py` of its own package says, so a test plants
in that file what a patch would do to tokens, counts and time (a clock of its own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from patcher.disk.manifest import AppliedPatch, Manifest, PatchedFile
from patcher.disk.packed import dump

RELEASE = "0.5.6.post2"
BACKEND = "sglang/srt/layers/attention/nsa_backend.py"
GATE = "SGLANG_NSA_METADATA_IN_GRAPH"
ORIGINAL = "STEP = 0.004\n"
PATCHED = "STEP = 0.002\n"
QUICK = ("--rounds", "1", "--new-tokens", "12", "--prompt", "20")

Go = Callable[..., tuple[int, str, str]]
"""Runs the command: exit code, stdout, stderr."""

ENGINE = f"""
import asyncio, gzip, json, os, sys, time
from sglang.srt.layers.attention import nsa_backend as says
from sglang.version import __version__

clock = [0.0]
FULL = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 530.00 MiB. GPU 0 has"
time.perf_counter = lambda: clock[0]

def meet(folder, call):
    # Two engines are in their call of this number at the same time, or it fails.
    open(f"{{folder}}/{{call}}-{{os.getpid()}}", "w").close()
    for _ in range(2000):
        if sum(name.startswith(f"{{call}}-") for name in os.listdir(folder)) == 2:
            return
        time.sleep(0.01)
    raise TimeoutError("nobody came")

class Engine:
    def __init__(self, **arguments):
        print("noise on stdout")
        self.arguments = arguments
        self.loop = asyncio.new_event_loop()
        self.tokenizer_manager = self
        self.stopped, self.now, self.most, self.calls = set(), 0, 0, 0
        if getattr(says, "NO_START", False):
            print("RuntimeError: no such kernel", file=sys.stderr)
            os._exit(3)
        print("\\n".join(getattr(says, "PRINTS", ())), file=sys.stderr)

    def generate(self, input_ids, sampling_params):
        assert sampling_params["temperature"] == 0
        count = sampling_params["max_new_tokens"]
        self.calls += 1
        if hasattr(says, "MEETS"):
            meet(says.MEETS, self.calls)
        if hasattr(says, "ALONE") and self.calls > 1:
            os.close(os.open(says.ALONE, os.O_CREAT | os.O_EXCL))
            time.sleep(0.02)
            os.unlink(says.ALONE)
        off = os.environ.get({GATE!r}) == "0"
        shift = 0 if off else getattr(says, "SHIFT", 0)
        verify = count // 2 + (0 if off else getattr(says, "MORE", 0))
        self.took = verify * (0.004 if off else says.STEP)
        clock[0] += 0.5 + self.took
        time.sleep(getattr(says, "HANGS", 0))
        if len(input_ids) >= getattr(says, "FLAKY", 99):
            shift = os.urandom(1)[0]
        if getattr(says, "DRIFTS", False):
            verify += self.calls
        if self.calls >= getattr(says, "FULL", 99):
            print(FULL, file=sys.stderr)
            os._exit(1)
        if getattr(says, "RAISES", False):
            raise ValueError("an illegal memory access")
        return [
            {{
                "output_ids": [(sum(ids) + i * (shift + 1)) % 997 for i in range(count)],
                "meta_info": {{
                    "spec_verify_ct": verify,
                    "spec_accept_histogram": [verify - 1, 1],
                }},
            }}
            for ids in input_ids
        ]

    def start_profile(self, output_dir, activities, with_stack, record_shapes):
        assert activities == ["GPU"]
        self.profile = output_dir

    def stop_profile(self):
        if getattr(says, "NO_TRACE", False):
            return
        kernel = {{"cat": "kernel", "ts": 5, "dur": self.took / 4 * 1e6}}
        with gzip.open(self.profile + "/1-TP-0.trace.json.gz", "wt") as trace:
            json.dump({{"traceEvents": [kernel, {{"cat": "cpu_op", "ts": 0, "dur": 9e9}}]}}, trace)

    def abort_request(self, rid):
        self.stopped.add(rid)

    async def async_generate(self, input_ids, sampling_params, rid):
        assert rid not in getattr(says, "NAMES", ())
        getattr(says, "NAMES", set()).add(rid)
        self.now += 1
        self.most = max(self.most, self.now)
        said = self.generate([input_ids], sampling_params)[0]
        if getattr(says, "VARIES", False) and rid.endswith("-1."):
            said["output_ids"][0] = os.urandom(4)[0] + 1000
        for _ in range(3):
            await asyncio.sleep(0)
        slow = getattr(says, "SLOW", False)
        if slow or int(rid.rpartition("-")[2].rstrip(".")) % 6 == 5:
            await asyncio.sleep(0.6)
        self.now -= 1
        if any(rid.startswith(stopped) for stopped in self.stopped):
            if getattr(says, "REFUSES", False):
                raise ValueError("aborted")
            del said["output_ids"][os.urandom(1)[0] % len(said["output_ids"]):]
        elif getattr(says, "LOSES", False) and not self.now:
            said["output_ids"].pop()
        print("at once", self.most, file=sys.stderr)
        return said

    def flush_cache(self):
        print("flushed", file=sys.stderr)
        self.flushes = getattr(self, "flushes", 0) + 1
        return type("Said", (), {{"success": self.flushes % 2 == 0}})

    def shutdown(self):
        pass
"""
TORCH = """
__version__ = "2.99"
class cuda:
    is_available = staticmethod(lambda: {gpu})
    get_device_name = staticmethod(lambda: "a GPU")
    mem_get_info = staticmethod(lambda: ({free} << 30, 140 << 30))
"""


def site(
    folder: Path,
    *,
    gpu: bool = True,
    release: str = RELEASE,
    backend: str = ORIGINAL,
    free: int = 139,
) -> Path:
    """What PYTHONPATH has to name: torch, sglang and its kernel packages, all stand-ins.

    free: GiB of the GPU's memory.
    """
    files = {
        "torch/__init__.py": TORCH.format(gpu=gpu, free=free),
        "sgl_kernel/__init__.py": "",
        "deep_gemm/__init__.py": "",
        "sglang/__init__.py": ENGINE,
        "sglang/version.py": f'__version__ = "{release}"\n',
        "sglang/srt/__init__.py": "",
        "sglang/srt/layers/__init__.py": "",
        "sglang/srt/layers/attention/__init__.py": "",
        BACKEND: backend,
        f"sglang-{release}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: sglang\nVersion: {release}\n"
        ),
    }
    return _written(folder, files)


def tree(
    folder: Path, patched: str = PATCHED, original: str = ORIGINAL, gated: bool = True
) -> Path:
    """A tree of nothing but the patched file and the manifest, as a pack has it."""
    file = PatchedFile(
        path=BACKEND,
        sha256_before=_sha(original),
        sha256_after=_sha(patched),
        mode=0o644,
        original=original.encode(),
        patched=patched.encode(),
    )
    name = "in-graph" if gated else "a patch of tomorrow"
    manifest = Manifest(
        tool="nsa-opt",
        release=RELEASE,
        patches=(AppliedPatch(name=name, version="1"),),
        files=(file,),
    )
    files = {
        "sglang/version.py": f'__version__ = "{RELEASE}"\n',
        BACKEND: patched,
        "sglang/.nsa-opt/manifest.json": dump(manifest).decode(),
    }
    return _written(folder, files)


def _written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
