"""Packs a patched sglang release and what it needs for `ci/engine run`; see ci/engine.

The machine that runs has Python 3.12 with torch 2.11 and its usual companions, so only what
is beyond those is packed. Family A (up to 0.5.6.post2) pins torch 2.9.1: it is not here.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent.resolve()
PYTHON = "3.12"
MANYLINUX = (
    "2_39",
    "2_35",
    "2_34",
    "2_31",
    "2_28",
    "2_27",
    "2_26",
    "2_24",
    "2_17",
    "1",
    "2014",
)

# What each release pins, and the version of its kernel package.
RELEASES = {
    "0.5.12.post1": (
        "0.4.2.post2",
        ("transformers==5.6.0", "sgl-deep-gemm==0.1.0", "apache-tvm-ffi==0.1.9"),
    ),
    "0.5.15.post1": (
        "0.4.4",
        ("transformers==5.12.1", "sgl-deep-gemm==0.1.4", "apache-tvm-ffi==0.1.11"),
    ),
    "0.5.17": (
        "0.4.5",
        (
            "transformers==5.12.1",
            "sgl-deep-gemm==0.1.5.post1",
            "apache-tvm-ffi==0.1.11",
            "xxhash==4.1.0",
        ),
    ),
}
COMMON = (
    "tokenizers==0.22.2", "pydantic==2.13.4", "pydantic_core==2.46.4",
    "annotated-types==0.8.0", "annotated-doc==0.0.7", "typing-inspection==0.4.5",
    "fastapi==0.115.12", "starlette==0.46.2", "uvicorn==0.54.0", "msgspec==0.22.0",
    "orjson==3.13.0", "pybase64==1.5.1", "pyzmq==27.3.0", "setproctitle==1.3.8",
    "openai==2.6.1", "jiter==0.19.0", "distro==1.9.0", "sniffio==1.3.1", "httpx==0.28.1",
    "httpcore==1.0.9", "partial_json_parser==0.2.1.1.post7", "gguf==0.19.0",
    "dill==0.4.1", "compressed-tensors==0.20.0", "loguru==0.7.3",
)  # fmt: skip


def fetch(folder: Path, *requirements: str) -> None:
    """Wheels for the machine that runs, without what they require."""
    platforms = [f"--platform=manylinux{'_' * ('_' in n)}{n}_x86_64" for n in MANYLINUX]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
        "--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp",
        *platforms, "--dest", str(folder), *requirements,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def cut_kernel(version: str, folder: Path) -> None:
    """The kernel package without FlashAttention 3, most of its 322 to 615 MB.

    A run with fp8 KV and sparse prefill loads the rest only. Its metadata is written
    anew, because sglang asks for the version.
    """
    with tempfile.TemporaryDirectory() as place:
        fetch(Path(place), f"sglang-kernel=={version}")
        (wheel,) = Path(place).glob("*.whl")
        with (
            zipfile.ZipFile(wheel) as whole,
            tarfile.open(folder / "kernel.tar.xz", "w:xz") as kept,
        ):
            for name in filter(_needed, whole.namelist()):
                _add(kept, name, whole.read(name))
            _state(kept, "sglang_kernel", version, "sgl_kernel")
            # transformers up to 5.6 looks up who brought a flash_attn that it finds.
            _state(kept, "stand_ins", "0", "flash_attn")


def _needed(name: str) -> bool:
    package, _, rest = name.partition("/")
    wanted = rest.startswith("sm90/") or "flashmla_ops" in rest or "spatial_ops" in rest
    return package == "sgl_kernel" and (rest.endswith(".py") or wanted)


def _state(archive: tarfile.TarFile, name: str, version: str, package: str) -> None:
    """What pip would leave: which distribution a package is of."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    _add(archive, f"{name}-{version}.dist-info/METADATA", text.encode())
    _add(archive, f"{name}-{version}.dist-info/top_level.txt", package.encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def patched(release: str, folder: Path, options: list[str]) -> None:
    """A tree of the patched files and the manifest, nothing else: they are laid over."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "sglang"
        checkout = ["patcher.cli.checkout", release, str(tree)]
        apply = ["patches.commands", "apply", str(tree), *options]
        for command in (checkout, apply):
            tool = [sys.executable, "-m", *command]
            subprocess.run(tool, cwd=HERE.parent, check=True)
        home = tree / "python"
        manifest = home / "sglang/.nsa-opt/manifest.json"
        files = [entry["path"] for entry in json.loads(manifest.read_text())["files"]]
        for name in ("sglang/version.py", "sglang/.nsa-opt/manifest.json", *files):
            target = folder / "tree" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (home / name).exists():
                shutil.copyfile(home / name, target)


def main(release: str, place: str, *options: str) -> int:
    """Packs what a release's engine needs into a folder."""
    if release not in RELEASES:
        known = ", ".join(RELEASES)
        print(f"not known what {release} needs there; known: {known}", file=sys.stderr)
        return 2
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    kernel, pinned = RELEASES[release]
    patched(release, folder, list(options))
    fetch(folder, f"sglang=={release}", *pinned, *COMMON)
    cut_kernel(kernel, folder)
    subprocess.run(["apt-get", "download", "libnuma1"], cwd=folder, check=True)
    shutil.copyfile(HERE / "engine_site.py", folder / "sitecustomize.py")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
