"""What the made-up patches insert into the look-alike backend."""

from sglang.srt.environ import envs
from sglang.srt.layers.attention.nsa.kernel import fill
from sglang.srt.layers.attention.nsa_backend import Metadata


class Extra(Metadata):
    """What the replay computes once."""


class Dispatch:
    def replay(self, lens):  # noqa: RET503
        if envs.FAST.get():
            return fill(lens)

    def forward(self, rows):  # noqa: RET503
        if envs.WIDE.get():
            return rows
