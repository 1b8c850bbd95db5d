"""The image of docs/fleet.md, built as far as a machine without one can: its RUN lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.verify.conftest import original, unpack
from verify.cli.manual import COMMANDS, page_of

__all__ = ["original", "unpack"]  # fixtures

pytestmark = pytest.mark.tree
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/fleet.md").read_text("utf-8")
SCENARIO = "decode:n2:p64:fa3:s32:r32:c1,3:x256:k64:d4:tour3"


def block(language: str) -> str:
    """The page's one code block in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


class Image:
    """A folder that stands for the image's root, and an environment with sglang in it."""

    def __init__(self, root: Path, sglang: Path) -> None:
        self.root = root
        self.opt = root / "opt/nsa-opt"
        self.opt.parent.mkdir(parents=True)
        served = root / "usr"
        line = [sys.executable, "-m", "venv", "--without-pip", str(served)]
        subprocess.run(line, check=True)
        (packages,) = served.glob("lib/python3*/site-packages")
        self.tree = Path(shutil.copytree(sglang / "sglang", packages / "sglang"))
        self.env = {**os.environ, "PATH": f"{served / 'bin'}:{os.environ['PATH']}"}
        self.env.pop("PYTHONPATH", None)
        self.source = root / "src/nsa-opt"
        for name in ("patcher", "patches", "verify", "docs/man"):
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.source / name, ignore=unwanted)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.source / name)

    def run(self, line: str, *more: str) -> tuple[int, str]:
        """A line of the image's shell: exit code, and all that it says."""
        text = line.replace("/opt/nsa-opt", str(self.opt))
        text = text.replace("$NSA_OPT", str(self.source))
        # What a registry would bring comes from this environment.
        env = dict(self.env)
        if "/bin/" in line:
            env["PYTHONPATH"] = sysconfig.get_path("purelib")
        text = text.replace("pip install", "pip install --no-deps --no-build-isolation")
        done = subprocess.run(
            ["sh", "-euc", text, "sh", *more], env=env, cwd=self.root, text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image after every RUN line of the page's Dockerfile."""
    made = Image(tmp_path_factory.mktemp("image"), original)
    lines = re.findall(r"^RUN (.*)$", block("dockerfile").replace("\\\n", ""), re.M)
    assert len(lines) == 5
    for line in lines:
        code, said = made.run(line)
        assert code == 0, said
    return made


def test_the_image_s_own_sglang_is_patched(image: Image) -> None:
    said = json.loads((image.opt / "applied.json").read_text())
    assert said["result"] == "Applied"
    assert said["tree"] == str(image.tree.parent)
    assert (image.opt / "sglang").resolve() == image.tree


def test_the_manual_pages_came_along(image: Image) -> None:
    pages = {page.name for page in (image.opt / "share/man/man1").iterdir()}
    assert pages == {page_of(name) for name in COMMANDS}


def test_a_start_serves_the_proved_bytes_and_no_others(image: Image) -> None:
    start = block("sh")
    code, said = image.run(start, "echo", "serving")
    assert code == 1, "there is no record yet"

    route = f"--device cpu --route precomputed --scenario {SCENARIO}"
    record = "--record /opt/nsa-opt/record.json"
    command = f"/opt/nsa-opt/bin/verify-nsa-opt /opt/nsa-opt/sglang {route} {record}"
    code, said = image.run(f"{command} --python {sys.executable}")
    assert code == 0, said
    code, said = image.run(start, "echo", "serving")
    assert code == 0, said
    assert "serving" in said

    backend = image.tree / "srt/layers/attention/nsa_backend.py"
    before = backend.read_text()
    backend.write_text(before + "\n")
    code, said = image.run(start, "echo", "serving")
    backend.write_text(before)
    assert code == 1
    assert "nsa-opt: these are not the proved bytes" in said
    assert "serving" not in said


def test_what_the_page_s_job_and_table_say_is_what_the_tools_know() -> None:
    for option in re.findall(r"(--[a-z][\w-]+)", block("yaml")):
        known = (ROOT / "docs/commands.md").read_text("utf-8")
        assert option in known or option in ("--gpus", "--entrypoint"), option
    payload = ROOT / "patches/shared/payload/triton_metadata_kernel.py"
    message = "NSA metadata kernel does not work and is not used"
    assert message in PAGE
    assert message in payload.read_text("utf-8")
