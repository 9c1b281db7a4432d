"""Convolutions that are refused, and calls of them: errors name argument, value and allowed range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

K = np.ones((3, 2, 1, 1), np.float32)
BAD = [
    ((np.ones((3, 2, 1)), (5, 5)), {}, ValueError, r"kernel must have shape \(height, width, pre"),
    ((np.ones((3, 0, 1, 1)), (5, 5)), {}, ValueError, r"1 or more each, got \(3, 0, 1, 1\)"),
    ((np.ones((3, 2, 1, 1), bool), (5, 5)), {}, TypeError, "kernel must .* got dtype bool"),
    ((np.ones((3, 2, 1, 1), complex), (5, 5)), {}, TypeError, "kernel must be real"),
    (("kernel", (5, 5)), {}, TypeError, "kernel must be an array"),
    ((K, (5, 5, 1)), {}, ValueError, "grid must have 2 entries, got 3"),
    ((K, 25), {}, TypeError, "grid must be a pair of integers, got 25"),
    ((K, (5, 0)), {}, ValueError, r"grid\[1\] must be an integer from 1 to .* got 0"),
    ((K, (5, 2.5)), {}, TypeError, r"grid\[1\] must be an integer, got 2.5"),
    ((K, evops.Grid((5, 5), periodic=(True, False))), {}, ValueError, "grid must have no periodic axis"),
    ((K, evops.Grid((5, 5, 1))), {}, ValueError, "grid must have 2 entries, got 3"),
    ((K, evops.Positions(np.ones((25, 2)))), {}, TypeError, "grid must be a pair of integers, or an evops.Grid, got Pos"),
    ((K, (2**16, 2**16)), {}, ValueError, "number of pre neurons must be an integer from 1"),
    ((np.ones((1, 1, 1, 2**8)), (2**12, 2**12)), {}, ValueError, "number of post neurons must be"),
    ((K, (2, 5)), {}, ValueError, "kernel must have at most 2 rows, those of the grid with padding, got 3"),
    ((K, (5, 1)), {}, ValueError, "kernel must have at most 1 columns, those of the grid with padding, got 2"),
    ((K, (5, 5), 0), {}, ValueError, r"stride\[0\] must be an integer from 1 to .* got 0"),
    ((K, (5, 5), (1, -1)), {}, ValueError, r"stride\[1\] must be an integer from 1 to .* got -1"),
    ((K, (5, 5), (1, 1, 1)), {}, ValueError, "stride must have 2 entries"),
    ((K, (5, 5), 1.0), {}, TypeError, r"stride\[0\] must be an integer, got 1.0"),
    ((K, (5, 5)), {"padding": "SAME"}, ValueError, "padding must be one of valid, same, got 'SAME'"),
    ((K, (5, 5)), {"padding": -1}, ValueError, r"padding\[0\]\[0\] must be an integer from 0 to 2, got -1"),
    ((K, (5, 5)), {"padding": 2}, ValueError, r"padding\[1\]\[0\] must be an integer from 0 to 1, got 2"),
    ((K, (5, 5)), {"padding": ((0, 3), 0)}, ValueError, r"padding\[0\]\[1\] must be an integer from 0 to 2, got 3"),
    ((K, (5, 5)), {"padding": (1, 1, 1)}, ValueError, "padding must have 2 entries"),
    ((K, (5, 5)), {"padding": ((1, 1, 1), 0)}, ValueError, r"padding\[0\] must have 2 entries"),
    ((K, (5, 5)), {"padding": None}, TypeError, r"padding\[0\]\[0\] must be an integer, got None"),
    ((K, (5, 5)), {"delay": 0}, ValueError, "delay must be an integer from 1 to .* got 0"),
    ((K, (5, 5)), {"delay": evops.Uniform(1, 3)}, TypeError, "delay must be an integer, got Uniform"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD)
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        evops.Conv2D(*arguments, **options)


def test_bad_calls():
    C = evops.Conv2D(K, (5, 5))
    with pytest.raises(ValueError, match="x has 24 entries; W expects 25 presynaptic neurons"):
        np.ones(24) @ C
    with pytest.raises(ValueError, match="v has 25 entries; W expects 12 postsynaptic neurons"):
        C @ np.ones(25)
    with pytest.raises(ValueError, match="push needs delays: make the convolution with delay=…"):
        C.push(np.ones(25), evops.DelayBuffer.zeros(12, 3))
    late = evops.Conv2D(K, (5, 5), delay=4)
    with pytest.raises(ValueError, match="buffer must hold 12 neurons and delays of 4 steps"):
        late.push(np.ones(25), evops.DelayBuffer.zeros(12, 3))
    with pytest.raises(TypeError, match="the buffer holds int32, weights are float32"):
        late.push(np.ones(25, bool), evops.DelayBuffer.zeros(12, 4, jnp.int32))
    C.kernel = np.ones((2, 2, 1, 1), np.float32)
    message = (
        r"W has a leaf of another shape: kernel has shape \(2, 2, 1, 1\), expected \(3, 2, 1, 1\)"
    )
    with pytest.raises(ValueError, match=message):
        np.ones(25) @ C
    with pytest.raises(TypeError, match="grid must be known before compilation"):
        jax.jit(lambda n: evops.Conv2D(K, n))(np.array([5, 5]))
    many = evops.Conv2D(np.ones((1, 1, 2**10, 2**10)), (2**5, 2**6))
    assert many.nnz == 2**31
    with pytest.raises(ValueError, match="number of synapses must be an integer from 0 to"):
        many.tocsr()
