"""Appended to a release's attention backend by engine_planted.py.

While the file that NSA_OPT_PLANTED names says "WHERE BUG", every replay of a CUDA graph
has that bug.
"""


def _plant(names):
    import functools
    import inspect
    import os

    def planted():
        try:
            with open(os.environ["NSA_OPT_PLANTED"], encoding="utf-8") as file:
                where, _, bug = file.read().strip().partition(" ")
        except OSError:
            return "", ""
        return where, bug

    def spoil(metadata, bug, bs):
        table = metadata.real_page_table
        if bug == "page":
            table[:, 1] = table[:, 0]
        elif bug == "rows" and bs > 1:
            n = table.shape[0] // bs
            first = table[:n].clone()
            table[:n] = table[n : 2 * n]
            table[n : 2 * n] = first
        elif bug == "slot" and metadata.page_table_1 is not None:
            metadata.page_table_1[:, 64] = metadata.page_table_1[:, 0]
        elif bug == "short":
            metadata.cache_seqlens_int32.sub_(1)

    def around_backend(replay):
        @functools.wraps(replay)
        def wrapped(*args, **kwargs):
            given = inspect.signature(replay).bind(*args, **kwargs).arguments
            where, bug = planted()
            here = where == "verify" and given["forward_mode"].is_target_verify()
            if here and bug == "short":  # in all that comes of it: a schedule, too
                given["seq_lens"] = given["seq_lens"] - 1
            replay(**given)
            if here and bug != "short":
                backend, bs = given["self"], given["bs"]
                spoil(backend.decode_cuda_graph_metadata[bs], bug, bs)

        return wrapped

    def around_steps(replay):
        @functools.wraps(replay)
        def wrapped(self, forward_batch, *args, **kwargs):
            replay(self, forward_batch, *args, **kwargs)
            where, bug = planted()
            if where == "draft":
                bs = args[0] if args else forward_batch.batch_size
                second = self.attn_backends[1]
                spoil(second.decode_cuda_graph_metadata[bs], bug, bs)

        return wrapped

    ways = (
        ("SparseAttnBackend", around_backend,
         ("_apply_cuda_graph_metadata", "init_forward_metadata_replay_cuda_graph")),
        ("SparseAttnMultiStepBackend", around_steps,
         ("init_forward_metadata_replay_cuda_graph", "init_forward_metadata_out_graph")),
    )  # fmt: skip
    for end, around, methods in ways:
        cls = next(c for n, c in names.items() if n.endswith(end))
        method = next(m for m in methods if m in vars(cls))
        setattr(cls, method, around(getattr(cls, method)))


_plant(dict(globals()))
