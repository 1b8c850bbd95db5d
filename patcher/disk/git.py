"""The git repository around a tree, where there is one: dirty files, and commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from patcher.disk import packed
from patcher.disk.manifest import Manifest
from patcher.results import Exit, Reason, Refusal
from patcher.tree.find import Tree
from patcher.tree.outline import sha256

if TYPE_CHECKING:
    import git

_TRAILER = "Nsa-Opt-Manifest"


class Repository:
    """Git, run inside a tree, so that all paths are package-relative.

    A work tree, a submodule, a detached head, a shallow clone and a tree deep inside a
    bigger repository are all the same to it.
    """

    def __init__(self, run: git.Git) -> None:
        self._run = run

    def dirty(self, files: Iterable[str]) -> list[str]:
        """Those of the tracked files that differ from the last commit."""
        return self._paths("diff", "--name-only", "--relative", "HEAD", files)

    def committed(self, file: str) -> bytes | None:
        """The file's bytes in the last commit; None when it is not there."""
        import git

        command = ["git", "cat-file", "blob", f"HEAD:./{file}"]
        try:
            data = self._run.execute(
                command, stdout_as_string=False, strip_newline_in_stdout=False
            )
        except git.GitCommandError:
            return None
        assert isinstance(data, bytes)
        return data

    def tracks(self, files: Iterable[str]) -> list[str]:
        """Those of the files that git knows."""
        return self._paths("ls-files", files)

    def require_identity(self) -> None:
        """Raises `Refusal` when git does not know whom a commit would be by."""
        self._checked("var", "GIT_AUTHOR_IDENT")
        self._checked("var", "GIT_COMMITTER_IDENT")

    def commit(self, files: Sequence[str], message: str) -> str:
        """Commits these files, as they are, and nothing else; raises `Refusal`.

        Hooks that check or reformat are left out: the bytes are proved by hash.
        """
        known = set(self.tracks(files))
        new = [file for file in files if file not in known]
        if new:
            self._checked("add", "--force", "--", *new)
        try:
            self._checked(
                "commit",
                "--quiet",
                "--no-verify",
                "--only",
                "-m",
                message,
                "--",
                *files,
            )
        except Refusal:
            if new:
                self._checked("rm", "--quiet", "--cached", "--", *new)
            raise
        return self.head()

    def head(self) -> str:
        """The hash of the last commit."""
        return self._checked("rev-parse", "HEAD")

    def commit_of(self, manifest: Manifest) -> str:
        """The commit in which this manifest was applied; empty when there is none."""
        return self._checked(
            "log",
            "-1",
            "--format=%H",
            "--fixed-strings",
            f"--grep={_TRAILER}: {_identity(manifest)}",
        )

    def _paths(self, *arguments: str | Iterable[str]) -> list[str]:
        *command, files = arguments
        wanted = sorted(files)
        if not wanted:
            return []
        words = [word for word in command if isinstance(word, str)]
        found = self._checked(*words, "-z", "--", *wanted)
        return [path for path in found.split("\0") if path]

    def _checked(self, *command: str) -> str:
        import git

        try:
            return str(self._run.execute(["git", *command]))
        except git.GitCommandError as error:
            raise git_refusal(error) from error


def repository(tree: Tree, files: Iterable[str]) -> Repository | None:
    """The repository that tracks one of these files; None when there is none, or no git.

    Raises `Refusal` when git will not work in it.
    """
    try:
        import git
    except ImportError:
        return None
    run = git.Git(tree.home)
    try:
        run.execute(["git", "rev-parse", "--verify", "--quiet", "HEAD"])
    except git.GitCommandNotFound:
        return None
    except git.GitCommandError as error:
        if "dubious ownership" in error.stderr:
            raise git_refusal(error) from error
        return None
    found = Repository(run)
    return found if found.tracks(files) else None


def git_refusal(error: git.GitCommandError) -> Refusal:
    """The refusal for a git command that failed, with what git said."""
    text = str(error.stderr).strip().removeprefix("stderr:").strip().strip("'")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = [word for word in error.command[1:] if word[0] != "-" and "=" not in word]
    what = f"git {words[0]} failed"
    shown = tuple(f"+ {line}" for line in lines[:4])
    return Refusal(Reason("", "git", what, "", shown), code=Exit.UNAVAILABLE)


def apply_message(manifest: Manifest) -> str:
    """What the commit of an apply says: patches, versions and hashes."""
    return "\n".join(
        [
            f"Apply nsa-opt: {', '.join(manifest.names)}",
            "",
            *(f"{patch.name} {patch.version}" for patch in manifest.patches),
            "",
            *(f"{file.sha256_after}  {file.path}" for file in manifest.files),
            "",
            "rollback-nsa-opt --revert takes it back.",
            "",
            f"{_TRAILER}: {_identity(manifest)}",
        ]
    )


def rollback_message(old: Manifest, new: Manifest | None, commit: str) -> str:
    """What the commit of a rollback says."""
    left = new.names if new else ()
    gone = [name for name in old.names if name not in left]
    lines = [f"Roll back nsa-opt: {', '.join(gone)}", ""]
    if commit:
        lines += [f"This reverts commit {commit}.", ""]
    for file in (new or old).files:
        digest = file.sha256_after if new else file.sha256_before
        lines.append(f"{digest or 'removed':64}  {file.path}")
    if new:
        lines += ["", f"{_TRAILER}: {_identity(new)}"]
    return "\n".join(lines)


def _identity(manifest: Manifest) -> str:
    return sha256(packed.dump(manifest))
