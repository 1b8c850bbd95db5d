from __future__ import annotations

from pathlib import Path

import pytest

from patcher.results import Exit, Refusal
from patcher.tree.find import find_tree
from tests.patcher.lookalike import write_tree


@pytest.mark.parametrize(
    ("home", "given", "layout"),
    [
        ("repo/python", "repo", "checkout"),
        ("env/site-packages", "env/site-packages", "installed"),
        ("wheel", "wheel", "wheel"),
        ("wheel", "wheel/sglang", "package"),
        ("a b/ü ñ", "a b/ü ñ", "wheel"),
    ],
)
def test_finds_the_package(tmp_path: Path, home: str, given: str, layout: str) -> None:
    write_tree(tmp_path / home)
    tree = find_tree(tmp_path / given)
    assert (tree.home, tree.layout) == (tmp_path / home, layout)


def test_a_python_folder_of_a_checkout_is_a_checkout(tmp_path: Path) -> None:
    write_tree(tmp_path / "python")
    (tmp_path / ".git").mkdir()
    assert find_tree(tmp_path / "python").layout == "checkout"


def test_a_link_to_a_tree_is_followed(tmp_path: Path) -> None:
    write_tree(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert find_tree(tmp_path / "link").home == tmp_path / "real"


def test_a_linked_package_is_found_where_it_is(tmp_path: Path) -> None:
    write_tree(tmp_path / "real")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "sglang").symlink_to(tmp_path / "real" / "sglang")
    assert find_tree(tmp_path / "site-packages").home == tmp_path / "real"


@pytest.mark.parametrize(
    ("made", "given", "what", "code"),
    [
        ("x/", "x", "holds no sglang package", Exit.REFUSED),
        ("sglang/srt/", ".", "holds no sglang package", Exit.REFUSED),
        ("x/", "y", "does not exist", Exit.USAGE),
        ("file", "file", "is not a directory", Exit.USAGE),
    ],
)
def test_what_is_no_tree_is_refused(
    tmp_path: Path, made: str, given: str, what: str, code: Exit
) -> None:
    path = tmp_path / made
    if made.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.touch()
    with pytest.raises(Refusal) as refusal:
        find_tree(tmp_path / given)
    assert refusal.value.reasons[0].what == what
    assert refusal.value.code == code


def test_a_package_of_another_name_is_no_sglang(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    (tree.home / "sglang").rename(tmp_path / "other")
    with pytest.raises(Refusal, match="holds no sglang package"):
        find_tree(tmp_path / "other")
