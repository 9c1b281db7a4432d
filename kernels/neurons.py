"""Neurons of the published networks: their states change in place, in one pass over the arrays.

Called as users' kernels are (kernels/ffi/custom.cc), under their names. The last array says which
part of the neurons to do, and of how many. Constants come as an array, since models have
parameters. What is computed, and in which order, is what the models have in jnp
(``evops/networks/*/model.py``); XLA may fuse products and sums there, and nothing does here.
"""

import taichi as ti

from sampler_ti import array

F32, I32, U8 = array(ti.f32), array(ti.i32), array(ti.u8)


@ti.func
def share(n, part: ti.template()):
    """The neurons of a part: from the first number up to the second."""
    size = ti.i64(n)
    return ti.i32(size * part[0] // part[1]), ti.i32(size * (part[0] + 1) // part[1])


@ti.kernel
def coba2005_spikes(v: F32, wait: U8, constants: F32, spikes: U8, part: I32):
    """Who spikes, and the steps until the end of each neuron's refractory time.

    Constants: threshold, refractory time in steps.
    """
    threshold, refractory = constants[0], ti.cast(constants[1], ti.i32)
    begin, end = share(v.shape[0], part)
    ti.loop_config(serialize=True)
    for i in range(begin, end):
        fired = v[i] > threshold
        spikes[i] = ti.cast(fired, ti.u8)
        left = ti.select(fired, refractory, ti.max(ti.cast(wait[i], ti.i32), 1)) - 1
        wait[i] = ti.cast(left, ti.u8)


@ti.kernel
def coba2005_potentials(
    v: F32, g_exc: F32, g_inh: F32, wait: U8, exc: F32, inh: F32, constants: F32, part: I32
):
    """Conductances and potentials after a step.

    Constants: decay of g_exc and g_inh, leak, leak times (rest + drive), both reversal potentials,
    1/12, reset.
    """
    decay_exc, decay_inh, leak, inward = constants[0], constants[1], constants[2], constants[3]
    to_exc, to_inh, twelfth, reset = constants[4], constants[5], constants[6], constants[7]
    begin, end = share(v.shape[0], part)
    ti.loop_config(serialize=True)
    for i in range(begin, end):
        e, h = g_exc[i] * decay_exc + exc[i], g_inh[i] * decay_inh + inh[i]
        g_exc[i], g_inh[i] = e, h
        x = e + h + leak
        flow = inward - v[i] * x + e * to_exc + h * to_inh
        moved = v[i] + flow / (x * (x * twelfth + 0.5) + 1.0)
        v[i] = ti.select(wait[i] > 0, reset, moved)


# The kernels, and the dtypes of their arrays: in Taichi a bool is a byte.
NEURONS = {
    coba2005_spikes: "float32 uint8 float32 bool",
    coba2005_potentials: "float32 float32 float32 uint8 float32 float32 float32",
}
