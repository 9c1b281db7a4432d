"""What becomes of a synapse that a GPU reader draws: its weight, its delay, the sum it joins.

A reader hands each synapse to a function ``emit(sum, post, counter, z, key, sink, …)`` that it is
made with, which gets the lane's sum so far and returns the next.
"""

import taichi as ti

from sampler_ti import DELAY, WEIGHT, between, look_up, slot, word

U32 = ti.u32
A = ti.template()
# The key of a row's variates.
Key = ti.types.struct(k0=U32, k1=U32)


def sink_of(element):
    """The struct of what becomes of a synapse.

    base: place of post neuron 0. a, b: weight ``a + b z``, times the spike. base_slot: slot of the
    ring that a drawn delay of 0 means, of `slots` slots with `width` sums each. delay_bits: of the
    delays' alias table, 0 where none is drawn. The offsets say where tables begin.
    """
    words = ("base", "base_slot", "slots", "width", "delay_bits")
    offsets = ("quantiles_offset", "delays_offset")
    return ti.types.struct(a=element, b=element, **dict.fromkeys((*words, *offsets), U32))


@ti.func
def variate(key, counter, quantiles: A, offset):
    """What a quantile table gives a synapse, a whole number of its unit."""
    at, part = slot(word(key.k0 + U32(WEIGHT), key.k1, counter))
    a = ti.cast(quantiles[ti.i32(offset + at)], U32)
    b = ti.cast(quantiles[ti.i32(offset + at) + 1], U32)
    return ti.cast(ti.cast(between(a, b, part), ti.i32), ti.f32)


@ti.func
def place(post, counter, key, delays: A, sink):
    """Where a synapse is added: in its slot of a ring, where it draws a delay."""
    at = sink.base + post
    if sink.delay_bits != 0:
        w = word(key.k0 + U32(DELAY), key.k1, counter)
        right = U32(32) - sink.delay_bits
        steps = look_up(delays[ti.i32(sink.delays_offset + (w >> right))], w, right)
        steps = ti.min(steps, sink.slots - U32(1))
        arrival = sink.base_slot + steps
        if arrival >= sink.slots:
            arrival -= sink.slots
        at += arrival * sink.width
    return ti.i32(at)


def _weight(element, kind):
    """Function: the weight of a synapse; some of the braintaichi scheme drew their z before."""

    @ti.func
    def weight(z, counter, key, quantiles: A, sink):
        value = sink.a
        if ti.static(kind.varied):
            unit = z
            if ti.static(not kind.draws):
                unit = variate(key, counter, quantiles, sink.quantiles_offset)
            value = sink.a + sink.b * ti.cast(unit, element)
        return value

    return weight


def scatter_emit(element, kind):
    """Function that adds a, or a + b z, to the target."""
    weight = _weight(element, kind)

    @ti.func
    def emit(sum, post, counter, z, key, target: A, quantiles: A, delays: A, sink):
        at = place(post, counter, key, delays, sink)
        target[at] += weight(z, counter, key, quantiles, sink)
        return sum

    return emit


def gather_emit(element, kind):
    """Function that sums up the inputs at the targets, times a or a + b z where `kind` says so."""
    weight = _weight(element, kind)

    @ti.func
    def emit(sum, post, counter, z, key, target: A, quantiles: A, delays: A, sink):
        value = ti.cast(target[ti.i32(sink.base + post)], element)
        if value != 0:
            if ti.static(kind.weighted):
                value *= weight(z, counter, key, quantiles, sink)
            sum += value
        return sum

    return emit
