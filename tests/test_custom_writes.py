"""A kernel that writes to what it is given does not compile."""

import jax
import numpy as np
import pytest
import taichi as ti

import evops

X = np.ones(3, np.float32)
A1 = ti.types.ndarray(ndim=1)
KIND = {"cpu": "cpu_kernel", "cuda": "gpu_kernel"}


@ti.func
def put(array: ti.template(), i, value):
    array[i] = value


def _writing():
    """Kernels that write to what they are given, each by other means."""

    @ti.kernel
    def itself(x: A1, y: A1):
        for i in range(x.shape[0]):
            y[i], x[i] = x[i], 0.0

    @ti.kernel
    def atomically(x: A1, y: A1):
        for i in range(x.shape[0]):
            ti.atomic_max(x[i], y[i])

    @ti.kernel
    def by_a_function(x: A1, y: A1):
        for i in range(x.shape[0]):
            put(x, i, y[i])

    @ti.kernel
    def by_another_name(x: A1, y: A1):
        z = ti.static(x)
        for i in range(x.shape[0]):
            if y[i] > 0:
                z[0] += y[i]

    return itself, atomically, by_a_function, by_another_name


@pytest.mark.thin(3)
@pytest.mark.parametrize("kernel", _writing(), ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_inputs_are_not_written_to(kernel, platform):
    f = jax.jit(lambda x: evops.XLACustomOp(**{KIND[platform]: kernel})(x, outs=[X]))
    with pytest.raises(
        evops.KernelError, match=f"^{kernel.__name__} writes to x: what a call is given"
    ):
        f.trace(X).lower(lowering_platforms=(platform,))
