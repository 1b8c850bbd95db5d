"""The git repository around a tree, where there is one: dirty files, and commits.

A commit is made of objects first, which nobody sees; then `advance` moves the branch and
the index to it, and `retreat` moves them back. Each can be repeated after a kill.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from patcher.disk import packed
from patcher.disk.manifest import Manifest
from patcher.disk.packed import SafePath, Stored
from patcher.results import Exit, Reason, Refusal
from patcher.tree.find import Tree
from patcher.tree.outline import sha256

if TYPE_CHECKING:
    import git

_TRAILER = "Nsa-Opt-Manifest"


class Commit(Stored):
    """A commit that is made but not yet on the branch; `head` is what it stands on."""

    head: str
    sha: str
    message: str
    paths: tuple[SafePath, ...]


class Blob(NamedTuple):
    """A file of a commit to make; `data` None: it goes."""

    data: bytes | None
    executable: bool


class Repository:
    """Git, run inside a tree, so that all paths are package-relative.

    A work tree, a submodule, a detached head, a shallow clone and a tree deep inside a
    bigger repository are all the same to it.
    """

    def __init__(self, run: git.Git) -> None:
        self._run = run

    def dirty(self, files: Iterable[str]) -> list[str]:
        """Those of the tracked files that differ from the last commit."""
        index = Path(self._checked("rev-parse", "--git-path", "index"))
        here = Path(self._run.working_dir or ".") / index
        with tempfile.TemporaryDirectory(prefix="nsa-opt-") as folder:
            # On a copy: git writes into the index what it learns, and who it is.
            copy = Path(folder) / "index"
            if here.exists():
                shutil.copyfile(here, copy)
            command = ("diff", "--name-only", "--relative", "HEAD")
            return self._paths(*command, files, env={"GIT_INDEX_FILE": str(copy)})

    def committed(self, file: str, commit: str = "HEAD") -> bytes | None:
        """The file's bytes in a commit; None when it is not there."""
        import git

        command = ["git", "cat-file", "blob", f"{commit}:./{file}"]
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

    def commit_of(self, files: Iterable[str]) -> str:
        """The commit that brought these files as they are now; empty: HEAD has others."""
        wanted = sorted(files)
        there = self._paths("ls-tree", "--name-only", "HEAD", wanted)
        if len(there) < len(wanted) or self.dirty(wanted):
            return ""
        return self._checked("log", "-1", "--format=%H", "HEAD", "--", *wanted)

    def commit_with(self, files: Mapping[str, bytes]) -> str:
        """The commit that brought these bytes, if HEAD has them; the tree may not."""
        if any(self.committed(path) != data for path, data in files.items()):
            return ""
        return self._checked("log", "-1", "--format=%H", "HEAD", "--", *sorted(files))

    def last_apply(self, before: str = "HEAD") -> tuple[str, str]:
        """The last commit of an apply, and its message; empty when there is none."""
        pattern = f"--grep=^{_TRAILER}: "
        found = self._checked("log", "-1", "--format=%H%n%B", pattern, before)
        sha, _, message = found.partition("\n")
        return sha, message

    def resolve(self, name: str) -> str:
        """The hash of what git knows by this name; empty when it knows nothing."""
        try:
            return self._checked("rev-parse", "--verify", "--quiet", name)
        except Refusal:
            return ""

    def folders(self, commit: str) -> list[str]:
        """The folders that a commit has in the tree."""
        found = self._checked("ls-tree", "-r", "-d", "-z", "--name-only", commit)
        return found.split("\0")

    def require_identity(self) -> None:
        """Raises `Refusal` when git does not know whom a commit would be by."""
        self._checked("var", "GIT_AUTHOR_IDENT")
        self._checked("var", "GIT_COMMITTER_IDENT")

    def head(self) -> str:
        """The commit that the branch is at."""
        return self._checked("rev-parse", "HEAD")

    def prepare(self, files: Mapping[str, Blob], message: str) -> Commit:
        """Makes the commit that has HEAD's files but for these; raises `Refusal`.

        Nothing but new objects: no hook runs, and the index stays as it is.
        """
        self._require_unlocked()
        head = self.head()
        rows = self._rows(files, "0" * len(head))
        with tempfile.TemporaryDirectory(prefix="nsa-opt-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._checked("read-tree", "HEAD", env=index)
            self._checked("update-index", "-z", "--index-info", feed=rows, env=index)
            root = self._checked("write-tree", env=index)
        command = ["commit-tree", root, "-p", head]
        signed = self._checked(
            "config", "--get", "--type=bool", "--default=no", "commit.gpgSign"
        )
        if signed == "true":
            command.append("-S")
        sha = self._checked(*command, feed=message.encode())
        return Commit(head=head, sha=sha, message=message, paths=tuple(sorted(files)))

    def _require_unlocked(self) -> None:
        lock = Path(self._checked("rev-parse", "--git-path", "index.lock"))
        if (Path(self._run.working_dir or ".") / lock).exists():
            what = "another git command holds the index"
            hint = "wait for it to end; git itself says what to do if none is there"
            reason = Reason(str(lock), "git", what, hint)
            raise Refusal(reason, code=Exit.UNAVAILABLE)

    def _rows(self, files: Mapping[str, Blob], nothing: str) -> bytes:
        """What `update-index --index-info` reads; a file keeps its mode in HEAD."""
        prefix = self._checked("rev-parse", "--show-prefix")
        listed = self._checked("ls-tree", "-z", "HEAD", "--", *sorted(files))
        modes = {
            line.partition("\t")[2]: line.split(" ", 1)[0]
            for line in listed.split("\0")
            if line
        }
        rows = []
        for path, blob in files.items():
            mode, sha = "0", nothing
            if blob.data is not None:
                mode = modes.get(path, "100755" if blob.executable else "100644")
                option = f"--path={path}"
                sha = self._checked(
                    "hash-object", "-w", "--stdin", option, feed=blob.data
                )
            rows.append(f"{mode} {sha}\t{prefix}{path}\0")
        return "".join(rows).encode()

    def advance(self, commit: Commit) -> None:
        """Moves the branch to the commit, and the index of its files after it.

        Raises `Refusal`; also when the branch has moved elsewhere meanwhile.
        """
        if not self._reached(commit):
            subject = commit.message.partition("\n")[0]
            reason = f"nsa-opt: {subject}"
            self.change("update-ref", "-m", reason, "HEAD", commit.sha, commit.head)
        self._refresh(commit)

    def retreat(self, commit: Commit) -> None:
        """Moves the branch back from the commit, and the index of its files too."""
        if self.head() == commit.sha:
            reason = "nsa-opt: taken back"
            self.change("update-ref", "-m", reason, "HEAD", commit.head, commit.sha)
        self._refresh(commit)

    def moved(self, commit: Commit) -> bool:
        """Whether the branch is neither where the commit stands on, nor beyond it."""
        return self.head() != commit.head and not self._reached(commit)

    def _reached(self, commit: Commit) -> bool:
        shared = self._checked("rev-list", "--max-count=1", commit.sha, "^HEAD")
        return not shared

    def _refresh(self, commit: Commit) -> None:
        rows = "".join(f"{path}\0" for path in commit.paths).encode()
        self.change("update-index", "-z", "--add", "--remove", "--stdin", feed=rows)

    def change(self, *command: str, feed: bytes = b"") -> None:
        """Runs a command that changes the branch or the index."""
        self._checked(*command, feed=feed)

    def _paths(
        self, *arguments: str | Iterable[str], env: Mapping[str, str] | None = None
    ) -> list[str]:
        *command, files = arguments
        wanted = sorted(files)
        if not wanted:
            return []
        words = [word for word in command if isinstance(word, str)]
        found = self._checked(*words, "-z", "--", *wanted, env=env)
        return [path for path in found.split("\0") if path]

    def _checked(
        self, *command: str, feed: bytes = b"", env: Mapping[str, str] | None = None
    ) -> str:
        import git

        with contextlib.ExitStack() as stack:
            source = stack.enter_context(tempfile.TemporaryFile()) if feed else None
            if source:
                source.write(feed)
                source.seek(0)
            try:
                return str(
                    self._run.execute(["git", *command], istream=source, env=env)
                )
            except git.GitCommandError as error:
                raise git_refusal(error) from error


def repository(tree: Tree, files: Iterable[str]) -> Repository | None:
    """The repository that tracks one of these files; None when there is none, or no git.

    Raises `Refusal` when git will not work in it.
    """
    found = around(tree)
    return found if found is not None and found.tracks(files) else None


def around(tree: Tree) -> Repository | None:
    """The repository that the tree lies in; None when there is none, or no git.

    Raises `Refusal` when git will not work in it.
    """
    try:
        import git
    except ImportError:
        return None
    run = git.Git(tree.home)
    # A look at a repository leaves its index as it is, owner and all.
    run.update_environment(GIT_OPTIONAL_LOCKS="0")
    try:
        run.execute(["git", "rev-parse", "--verify", "--quiet", "HEAD"])
    except git.GitCommandNotFound:
        return None
    except git.GitCommandError as error:
        if "dubious ownership" in error.stderr:
            raise git_refusal(error) from error
        return None
    return Repository(run)


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
        lines += ["", *(f"{patch.name} {patch.version}" for patch in new.patches)]
    if new:
        lines += ["", f"{_TRAILER}: {_identity(new)}"]
    return "\n".join(lines)


def _identity(manifest: Manifest) -> str:
    return sha256(packed.dump(manifest))
