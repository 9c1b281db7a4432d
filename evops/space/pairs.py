"""Kernels of pairs of neurons."""

from typing import Any

import numpy as np

from evops.space.kernels import Kernel
from evops.space.positions import Positions


def values(kernel: Kernel, pre: Positions, i: Any, post: Positions, j: Any) -> np.ndarray:
    """The kernel of neurons i of `pre` and j of `post`: 0 outside its mask, or below 2**-32.

    `i` and `j` are indices that broadcast against each other.
    """
    by = pre.displacements(i, post, j)
    d = np.sqrt(np.square(by).sum(-1))
    near = d <= kernel.reach(pre.axes)
    if kernel.mask is not None:
        near &= kernel.mask.contains(by)
    found = np.zeros(d.shape)
    found[near] = kernel(d[near])
    return found
