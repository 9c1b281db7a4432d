"""Connectivity rules: what a rule's parameters mean and the integers that the readers need."""

import dataclasses
import functools

import numpy as np

from evops.connectivity import sampler
from evops.errors import INT32_MAX, check_probability


@dataclasses.dataclass(frozen=True)
class LfsrGaps:
    """The published scheme: gaps between synapses uniform on {1..clen}.

    ``clen = 2 ceil(1/p) - 1``, so the density that is really drawn is ``1 / ceil(1/p)``: exact for
    p = 1, 1/2, 1/3 …, too low for every other p (0.15 gives 0.143, 0.9 gives 0.5). As published,
    lines 2k - 1 and 2k of one seed are identical and other nearby lines are related; hashed lines
    are not.

    Args:
        p: connection probability, in (0, 1].
        hashed: whether the state of a line is hashed from its seed.

    Raises:
        ValueError: `p` outside (0, 1] or NaN.
        TypeError: `p` is not a real number, or is traced.

    Source: C. Wang et al., braintaichi / BrainPy 2.5 (2024), as recorded from its operators.
    """

    p: float
    hashed: bool = False

    def __post_init__(self):
        object.__setattr__(self, "p", check_probability("p", self.p))

    @functools.cached_property
    def clen(self) -> int:
        """Largest gap."""
        length = np.ceil(np.float32(1.0 / self.p)) * np.float32(2) - np.float32(1)
        return int(min(float(length), INT32_MAX))

    @property
    def density(self) -> float:
        """Fraction of pairs that is really connected, for lines much longer than clen."""
        return 2.0 / (self.clen + 1)

    @property
    def scheme(self) -> tuple[int, int, int]:
        """`clen`, the multiplier that divides by it in the kernels (kernels/walk.py), `hashed`."""
        return self.clen, min((1 << 32) // self.clen, (1 << 32) - 1), int(self.hashed)

    def streams(self, seed: int, count: int, lines: int) -> np.ndarray:
        """Seeds of `count` matrices of up to `lines` lines, none of which share a line.

        Matrix k has the lines ``streams[k] + 0 … streams[k] + lines - 1``. The seeds are hashes of
        (seed, k); should two ranges overlap, or one contain the generator's all-zero states (line
        seeds 0 and 2**32 - 1), they are drawn again.

        Args:
            seed: integer from 0 to 2**64 - 1.
            count: number of matrices.
            lines: most lines of a matrix.

        Returns:
            `(count,)` uint32.

        Raises:
            ValueError: `count` times `lines` leaves no room for ranges apart.
        """
        if count * lines > 2**30:
            raise ValueError(
                f"{count} matrices of {lines} lines each are too many for the 2**32 line "
                "seeds of the published scheme: at most 2**30 lines"
            )
        index = np.arange(count, dtype=np.uint32)
        low, high = np.array([[seed & 0xFFFFFFFF], [seed >> 32]], np.uint32)
        streams = index
        wrong = np.ones(count, bool)
        for attempt in np.arange(2000, dtype=np.uint32):
            salt = sampler.mix(sampler.mix(low + 0x243F6A88) ^ sampler.mix(high + attempt))
            drawn = sampler.mix(sampler.mix(index + salt) + high)
            # A whole draw hardly ever fits for thousands of matrices: then only what overlaps is
            # drawn again.
            streams = drawn if attempt < 1000 else np.where(wrong, drawn, streams)
            wrong = _overlapping(streams, lines)
            if not wrong.any():
                return streams
        raise ValueError(f"no {count} ranges of {lines} line seeds apart were found, seed {seed}")


def _overlapping(streams: np.ndarray, lines: int) -> np.ndarray:
    """Which ranges begin inside the one before, or contain line seed 0 or 2**32 - 1."""
    order = np.argsort(streams, kind="stable")
    ordered = streams[order].astype(np.int64)
    wrong = np.zeros(len(streams), bool)
    wrong[order[1:]] = np.diff(ordered) < lines
    return wrong | (streams == 0) | (streams.astype(np.int64) + lines >= 2**32)
