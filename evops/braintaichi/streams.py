"""Seeds of many matrices of the LFSR88 scheme that have no row in common."""

import numpy as np

from evops.connectivity import sampler
from evops.connectivity.format import MAX_WORD

# Rows of all matrices together. Beyond a quarter of the row seeds, ranges that are drawn at random
# hardly ever keep apart.
_MOST_ROWS = 2**30
# Draws of all matrices, and then of those alone that overlap.
_WHOLE_DRAWS, _DRAWS = 1000, 2000


def streams(seed: int, count: int, rows: int) -> np.ndarray:
    """Seeds of `count` matrices of up to `rows` rows, none of which share a row.

    Matrix k has the row seeds ``streams[k] + 0 … streams[k] + rows - 1``. The seeds are hashes of
    (seed, k). They are drawn again if two ranges overlap, or if one contains the generator's
    all-zero states (row seeds 0 and 2**32 - 1).

    Args:
        seed: integer from 0 to 2**64 - 1.
        count: number of matrices.
        rows: most rows of a matrix.

    Returns:
        `(count,)` uint32.

    Raises:
        ValueError: `count` times `rows` leaves no room for ranges apart.
    """
    if count * rows > _MOST_ROWS:
        raise ValueError(
            f"{count} matrices of {rows} lines each are too many for the 2**32 line "
            "seeds of the published scheme: at most 2**30 lines"
        )
    index = np.arange(count, dtype=np.uint32)
    low, high = np.array([[seed & MAX_WORD], [seed >> 32]], np.uint32)
    firsts = index
    wrong = np.ones(count, bool)
    for attempt in np.arange(_DRAWS, dtype=np.uint32):
        salt = sampler.mix(sampler.mix(low + sampler.PI_0) ^ sampler.mix(high + attempt))
        drawn = sampler.mix(sampler.mix(index + salt) + high)
        # A whole draw hardly ever fits for thousands of matrices: then only what overlaps is
        # drawn again.
        firsts = drawn if attempt < _WHOLE_DRAWS else np.where(wrong, drawn, firsts)
        wrong = _overlapping(firsts, rows)
        if not wrong.any():
            return firsts
    raise ValueError(f"no {count} ranges of {rows} line seeds apart were found, seed {seed}")


def _overlapping(firsts: np.ndarray, rows: int) -> np.ndarray:
    """Which ranges begin inside the one before, or contain row seed 0 or 2**32 - 1."""
    order = np.argsort(firsts, kind="stable")
    ordered = firsts[order].astype(np.int64)
    wrong = np.zeros(len(firsts), bool)
    wrong[order[1:]] = np.diff(ordered) < rows
    return wrong | (firsts == 0) | (firsts.astype(np.int64) + rows >= 2**32)
