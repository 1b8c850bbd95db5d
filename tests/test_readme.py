"""What the README shows is what the tools say."""

from __future__ import annotations

from pathlib import Path

from patcher.cli.table import markdown
from patches import all_patches

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_table_of_releases_is_the_tools_own() -> None:
    assert markdown(all_patches()).strip() in README


def test_every_patch_is_listed_with_its_gate_and_its_page() -> None:
    for patch in all_patches():
        folder = f"patches/{patch.name.replace('-', '_')}/README.md"
        row = next(line for line in README.splitlines() if folder in line)
        assert f"`{patch.name}`" in row
        assert f"`{patch.about.gate}`" in row
