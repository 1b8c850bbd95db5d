"""Where a side's code comes from.

candidate   the tree as it is
baseline    the originals of its manifest laid over it, if they are the pinned release's
            (as they are with `originals`); another tree; a pinned release out of the
            wheel cache; or the same tree again (`in-tree`)
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from patcher.disk import manifest
from patcher.disk.git import repository
from patcher.disk.manifest import Manifest
from patcher.disk.preconditions import current, half
from patcher.results import Exit, Reason, Refusal, suggest
from patcher.tree.find import Tree, find_tree
from patcher.tree.identify import identify
from patcher.tree.pins import PINNED, Family, family_of, pins
from patches import all_about

_ATTENTION = "sglang/srt/layers/attention"
NEEDED = (
    f"{_ATTENTION}/nsa_backend.py",
    f"{_ATTENTION}/base_attn_backend.py",
    f"{_ATTENTION}/nsa/utils.py",
    "sglang/srt/environ.py",
    "sglang/srt/model_executor/forward_batch_info.py",
)
IF_THERE = (
    f"{_ATTENTION}/nsa/nsa_backend_mtp_precompute.py",
    f"{_ATTENTION}/nsa/nsa_mtp_verification.py",
    "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py",
)
# With what the tree compiles at run time: it asks for both folders.
COMPILER = (
    "sglang/jit_kernel/utils.py",
    "sglang/jit_kernel/csrc/hicache.cuh",
    "sglang/jit_kernel/include/sgl_kernel/utils.h",
)
DSA_BACKEND = f"{_ATTENTION}/dsa_backend.py"
NEEDED_DSA = (
    DSA_BACKEND,
    f"{_ATTENTION}/base_attn_backend.py",
    f"{_ATTENTION}/dsa/utils.py",
    "sglang/srt/environ.py",
    "sglang/srt/model_executor/forward_batch_info.py",
    f"{_ATTENTION}/dsa/dsa_backend_mtp_precompute.py",
    f"{_ATTENTION}/dsa/dsa_topk_backend.py",
)
_RUNNERS = "sglang/srt/model_executor"
IF_THERE_DSA = (
    "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py",
    f"{_RUNNERS}/runner/decode_cuda_graph_runner.py",
    f"{_RUNNERS}/runner_utils/buffers.py",
    f"{_RUNNERS}/runner_utils/shared_read_event.py",
    f"{_RUNNERS}/cuda_graph_buffer_registry.py",
    f"{_ATTENTION}/dsa/dsa_backend_kpool.py",
    f"{_ATTENTION}/dsa/dsa_indexer_metadata.py",
    f"{_ATTENTION}/dsa/dsa_metadata_manager.py",
    f"{_ATTENTION}/dsa/dsa_mtp_verification.py",
    f"{_ATTENTION}/triton_ops/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa_metadata.py",
    "sglang/kernels/ops/attention/dsa/metadata.py",
    "sglang/kernels/ops/attention/flash_mla_interface.py",
)
_MARKER = b"# nsa-opt:"
NEW_MODULES = (
    f"{_ATTENTION}/nsa/",
    f"{_ATTENTION}/dsa/",
    "sglang/srt/speculative/",
)

Read = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Source:
    """One side's code. `read` gives a package-relative file's bytes, or None.

    edited: files changed since the apply; extra: modules beyond the usual ones;
    applied: patches with their versions; commit: the git checkout's, or empty.
    """

    label: str
    release: str
    read: Read
    extra: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    commit: str = ""

    def patches(self) -> frozenset[str]:
        """The patches that are in this code.

        Those that its manifest says were applied, found or not, and those of which
        stands there what only they bring.
        """
        files = (*self.needed, *self.if_there, *self.extra)
        there = b"\n".join(self.read(file) or b"" for file in files)
        applied = {patch.partition(" ")[0] for patch in self.applied}
        signed = {a.name for a in all_about() if a.sign.encode() in there}
        return frozenset(applied | signed)

    @property
    def dsa(self) -> bool:
        """Whether it is of family C; a `nsa_backend.py` beside that is a shim."""
        return self.read(DSA_BACKEND) is not None

    @property
    def family(self) -> Family:
        """The family that its files are laid out as."""
        files = (*PINNED[:1], *NEEDED_DSA, *IF_THERE)
        content = {file: self.read(file) for file in files}
        return family_of({f: data for f, data in content.items() if data is not None})

    @property
    def needed(self) -> tuple[str, ...]:
        """Modules that a worker imports for real, the backend's first."""
        return NEEDED_DSA if self.dsa else NEEDED

    @property
    def if_there(self) -> tuple[str, ...]:
        """The same, of some releases."""
        return IF_THERE_DSA if self.dsa else IF_THERE

    @property
    def foreign(self) -> bool:
        """Whether nobody here patched it."""
        return not self.extra


@dataclass(frozen=True)
class Pair:
    """Both sides. in_tree: the same code on both, driven in two ways."""

    baseline: Source
    candidate: Source
    in_tree: bool


def resolve(
    tree_path: Path, baseline: str | None, progress: Callable[[str], None]
) -> Pair:
    """Both sides of a verification. Raises `Refusal` with the exit code to use."""
    tree = find_tree(tree_path)
    state = current(tree)
    if state.kind == "half":
        raise half(cut_off=state.cut_off)
    applied = state.in_force
    candidate = _of_tree(tree, applied)
    if baseline == "in-tree":
        return Pair(candidate, candidate, True)
    if baseline not in (None, "originals"):
        assert baseline is not None
        return Pair(_baseline(baseline, progress), candidate, False)
    if state.kind == "orphaned" and state.release in pins():
        return Pair(_of_release(state.release, progress), candidate, False)
    if applied is None:
        raise Refusal(
            Reason(
                str(tree_path),
                "",
                "carries no manifest of ours, so its originals are not known",
                "verify it against itself with `--baseline in-tree`, or against a "
                "release or another tree with `--baseline RELEASE|TREE`",
            )
        )
    originals = _originals(tree, applied)
    if baseline is None:
        _require_pinned(originals)
    # Upstream's own replay is what patches of later families mend: compare with its
    # backends, each computing for itself.
    return Pair(originals, candidate, candidate.family in ("B", "C"))


def _require_pinned(originals: Source) -> None:
    """A manifest says what was there before; the pin says what the release is.

    Raises Refusal where they are not the same: a mistake that was there before the
    apply would be on both sides.
    """
    pin = pins().get(originals.release)
    wrong = [
        rel
        for rel, digest in sorted(pin.files.items() if pin else ())
        if (data := originals.read(rel)) is not None and sha256(data) != digest
    ]
    if wrong:
        what = (
            f"is not sglang {originals.release}'s, though the tree's originals have it"
        )
        todo = (
            f"compare with the release: `--baseline {originals.release}`; or with the "
            "originals as they are: `--baseline originals`"
        )
        raise Refusal(*(Reason(rel, "", what, todo) for rel in wrong))


def _baseline(text: str, progress: Callable[[str], None]) -> Source:
    if Path(text).is_dir():
        tree = find_tree(Path(text))
        return _of_tree(tree, manifest.load(tree))
    if text in pins():
        return _of_release(text, progress)
    raise Refusal(
        Reason(
            text,
            "",
            "is neither a tree nor a pinned release",
            suggest(text, ("in-tree", "originals", *pins())),
        ),
        code=Exit.USAGE,
    )


def _of_tree(tree: Tree, applied: Manifest | None) -> Source:
    nearest = identify(tree.read).pin
    extra = set(_marked(tree))
    edited: list[str] = []
    if applied is not None:
        extra |= {file.path for file in applied.files}
        edited = _edited(tree, applied)
    release = applied.release if applied else nearest.release if nearest else "unknown"
    patches = applied.patches if applied else ()
    return Source(
        str(tree.home), release, tree.read, tuple(sorted(extra)), tuple(edited),
        tuple(f"{patch.name} {patch.version}" for patch in patches), commit_of(tree.home),
    )  # fmt: skip


def commit_of(path: Path) -> str:
    """The commit of the git checkout that a tree is; empty where it is none."""
    try:
        found = repository(find_tree(path), NEEDED)
    except Refusal:
        return ""
    return found.head() if found else ""


def _originals(tree: Tree, applied: Manifest) -> Source:
    originals = applied.originals()

    def read(rel: str) -> bytes | None:
        return originals[rel] if rel in originals else tree.read(rel)

    label = f"the originals of {tree.home}"
    return Source(label, applied.release, read)


def _of_release(release: str, progress: Callable[[str], None]) -> Source:
    from patcher.tree.wheels import fetch

    wheel = fetch(pins()[release], progress)

    def read(rel: str) -> bytes | None:
        with zipfile.ZipFile(wheel) as archive:
            try:
                return archive.read(rel)
            except KeyError:
                return None

    return Source(f"sglang {release}", release, read)


def _marked(tree: Tree) -> Iterable[str]:
    """Modules that carry our marker: patched by a copy of the tree, without manifest."""
    for folder in NEW_MODULES:
        for file in sorted(tree.path(folder).glob("*.py")):
            if _MARKER in file.read_bytes():
                yield f"{folder}{file.name}"


def _edited(tree: Tree, applied: Manifest) -> list[str]:
    """Files that are no longer what the apply wrote, or the release had."""
    expected = {file.path: file.sha256_after for file in applied.files}
    pin = pins().get(applied.release)
    for rel, digest in (pin.files if pin else {}).items():
        expected.setdefault(rel, digest)
    return [
        rel
        for rel, digest in sorted(expected.items())
        if sha256(tree.read(rel)) != digest
    ]


def sha256(data: bytes | None) -> str:
    """A file's hash; empty for one that is not there."""
    return hashlib.sha256(data).hexdigest() if data is not None else ""
