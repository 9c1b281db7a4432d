"""Exponentials and logarithms of operations that every machine rounds alike.

Those of libraries differ in their last bits from processor to processor, and so might a synapse.
"""

from typing import Any

import numpy as np

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the sum has 80 bits


def exp(x: Any) -> Any:
    """``exp(x)`` for x up to 700; 0 far below 2**-32."""
    x = np.maximum(np.asarray(x, float), -700.0)
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    value = np.ones_like(r)
    for n in range(14, 0, -1):  # Taylor: |r| is at most 0.35
        value = 1.0 + value * r / n
    return np.ldexp(value, k.astype(np.int32))


def log(x: Any) -> Any:
    """``log(x)`` for x above 0."""
    part, k = np.frexp(np.asarray(x, float))
    low = part < 0.7071067811865476
    part, k = np.where(low, 2 * part, part), k - low
    y = (part - 1) / (part + 1)  # log = 2 atanh(y), |y| below 0.18
    square, value = y * y, np.zeros_like(y)
    for n in range(23, 0, -2):
        value = value * square + 1.0 / n
    return k * _LN2_HIGH + (k * _LN2_LOW + 2 * y * value)
