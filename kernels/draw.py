"""Draw the synapses of blocks: lists of targets for the readers of the exact sampler.

A task is one block of one line: the key words (t0, t1) of its projection, its pre neuron, the
block, the line's post neurons `n`, and where post neuron 0 lies (`origin`). Its synapses are
written as pairs (target = origin + post, owner = index of the task), one task after another, and
their number to ``produced[0]``. A list never outgrows `target`. Readers of the published scheme
take t0 for the seed; two of them also write what they draw from the same stream to `z`.
"""

import taichi as ti
from walk import (
    DELAY,
    SLOTS,
    SOURCES,
    TIE,
    WEIGHT,
    array,
    below,
    between,
    dense_hit,
    feistel,
    first_state,
    look_up,
    next_gap,
    next_state,
    normal,
    permuted,
    remainder,
    slot,
    uniform,
    variate_key,
    word,
    word88,
)

SUBSET_BLOCK = 1024
A = ti.template()


@ti.func
def _put(target: ti.template(), owner: ti.template(), at, j, origin, post, leave_out):
    """One more synapse, unless it is the autapse that is left out; the new length of the list."""
    after = at
    if post != leave_out and at < target.shape[0]:
        target[at] = origin + post
        owner[at] = ti.cast(j, ti.u8)
        after = at + 1
    return after


@ti.func
def _autapse(pre, scheme: ti.template()):
    """The post neuron to leave out: the pre neuron's own index, or one that does not exist."""
    leave_out = pre
    if scheme[1] == 0:
        leave_out = ti.u32(0) - ti.u32(1)
    return leave_out


@ti.func
def _gaps(j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at):
    k0, k1 = feistel(pre, block, t0, t1)
    bits = scheme[2]
    begin = block << bits
    size = ti.min(ti.u32(1) << bits, n - begin)
    leave_out = _autapse(pre, scheme)
    c = ti.u32(0)
    i = ti.u32(0)
    found = False
    while c < size:
        i, c, found = next_gap(k0, k1, i, c, scheme, table)
        if found:
            if c < size:
                at = _put(target, owner, at, j, origin, begin + c, leave_out)
            c += ti.u32(1)
    return at


@ti.func
def _dense(j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at):
    k0, k1 = feistel(pre, block, t0, t1)
    bits, whole, rest = scheme[2], scheme[3], scheme[4]
    begin = block << bits
    size = ti.min(ti.u32(1) << bits, n - begin)
    leave_out = _autapse(pre, scheme)
    for c in range(ti.i32(size)):
        post = ti.u32(c)
        w = word(k0, k1, post >> 2)
        if dense_hit(w, post, word(k0 + ti.u32(TIE), k1, post), whole, rest):
            at = _put(target, owner, at, j, origin, begin + post, leave_out)
    return at


@ti.func
def _subset(j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at):
    k0, k1 = feistel(pre, ti.u32(0), t0, t1)
    begin = block * ti.u32(SUBSET_BLOCK)
    bits = scheme[3]
    right = bits >> 1
    left = bits - right
    for s in range(ti.i32(ti.min(ti.u32(SUBSET_BLOCK), scheme[2] - begin))):
        i = begin + ti.u32(s)
        post = i
        if bits == 0:
            post = below(word(k0, k1, i), n)
        else:
            post = permuted(k0, k1, i, left, right)
            while post >= n:
                post = permuted(k0, k1, post, left, right)
        at = _put(target, owner, at, j, origin, post, ti.u32(0) - ti.u32(1))
    return at


@ti.func
def _counted(j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at):
    start, count = table[2 * j], table[2 * j + 1]
    k, bits = scheme[2], scheme[3]
    begin = block * ti.u32(SUBSET_BLOCK)
    right = bits >> 1
    left = bits - right
    k0, k1 = feistel(pre, ti.u32(0), t0, t1)
    if bits != 0:
        k0, k1 = feistel(ti.u32(0), ti.u32(SLOTS), t0, t1)
    for s in range(ti.i32(ti.min(ti.u32(SUBSET_BLOCK), count - begin))):
        i = begin + ti.u32(s)
        post = i
        if bits == 0:
            post = below(word(k0, k1, i), n)
        else:
            post = permuted(k0, k1, ti.min(start + i, k * n - ti.u32(1)), left, right)
            while post >= k * n:
                post = permuted(k0, k1, post, left, right)
            post = post % n
        at = _put(target, owner, at, j, origin, post, ti.u32(0) - ti.u32(1))
    return at


@ti.func
def _diagonal(j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at):
    if pre < n:
        at = _put(target, owner, at, j, origin, pre, ti.u32(0) - ti.u32(1))
    return at


def _lfsr(draws: int):
    """Reader of a line of the published scheme that draws 0 to 2 words for every synapse."""

    @ti.func
    def reader(
        j, t0, t1, pre, block, origin, n, scheme: A, table: A, target: A, owner: A, z: A, at
    ):
        d, m, hashed = scheme[2], scheme[3], scheme[4]
        s1, s2, s3 = first_state(t0 + pre, hashed)
        s1, s2, s3 = next_state(s1, s2, s3)
        post = remainder(word88(s1, s2, s3), d, m)
        while post < n:
            if at < target.shape[0]:
                target[at] = origin + post
                owner[at] = ti.cast(j, ti.u8)
                if ti.static(draws > 0):
                    s1, s2, s3 = next_state(s1, s2, s3)
                    u = uniform(word88(s1, s2, s3))
                    if ti.static(draws == 2):
                        s1, s2, s3 = next_state(s1, s2, s3)
                        u = normal(u, uniform(word88(s1, s2, s3)))
                    z[at] = u
                at += 1
            s1, s2, s3 = next_state(s1, s2, s3)
            post += remainder(word88(s1, s2, s3), d, m) + ti.u32(1)
        return at

    return reader


READERS = {
    "gaps": _gaps,
    "dense": _dense,
    "subset": _subset,
    "diagonal": _diagonal,
    "counted": _counted,
    "lfsr": _lfsr(0),
    "lfsr_uniform": _lfsr(1),
    "lfsr_normal": _lfsr(2),
}


def draw(name: str):
    """Kernel that runs one reader over all tasks; see the module."""
    reader = READERS[name]

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        block: array(ti.u32),
        origin: array(ti.u32),
        n: array(ti.u32),
        scheme: array(ti.u32),
        table: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        z: array(ti.f32),
        produced: array(ti.i32),
    ):
        at = 0
        ti.loop_config(serialize=True)
        for j in range(n.shape[0]):
            at = reader(
                j, t0[j], t1[j], pre[j], block[j], origin[j], n[j],
                scheme, table, target, owner, z, at,
            )  # fmt: skip
        produced[0] = at

    return kernel


@ti.func
def _variate_word(s, role, t0: A, t1: A, pre: A, shift: A, by_place: A, target: A, owner: A):
    """Word behind a variate of synapse s of a list; see `variate`."""
    j = ti.i32(owner[s])
    counter = target[s]
    if by_place[0] != 0:
        counter = ti.u32(s)
    k0, k1 = variate_key(pre[j], t0[j], t1[j])
    return word(k0 + ti.u32(role), k1, counter - shift[j])


def variate():
    """Kernel of the variate of every synapse in a list, a whole number: ``z[s]``.

    The counter behind it is the synapse's target, or with `by_place` its place in the list, less
    ``shift`` of its task.
    """

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        shift: array(ti.u32),
        by_place: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        quantiles: array(ti.i32),
        z: array(ti.f32),
    ):
        ti.loop_config(serialize=True)
        for s in range(target.shape[0]):
            w = _variate_word(s, WEIGHT, t0, t1, pre, shift, by_place, target, owner)
            at, part = slot(w)
            a = ti.cast(quantiles[ti.i32(at)], ti.u32)
            b = ti.cast(quantiles[ti.i32(at) + 1], ti.u32)
            z[s] = ti.cast(ti.cast(between(a, b, part), ti.i32), ti.f32)

    return kernel


def delay():
    """Kernel of the delay that every synapse in a list draws from an alias table; see `variate`."""

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        shift: array(ti.u32),
        by_place: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        table: array(ti.u32),
        bits: array(ti.u32),
        steps: array(ti.u32),
    ):
        right = ti.u32(32) - bits[0]
        ti.loop_config(serialize=True)
        for s in range(target.shape[0]):
            w = _variate_word(s, DELAY, t0, t1, pre, shift, by_place, target, owner)
            steps[s] = look_up(table[ti.i32(w >> right)], w, right)

    return kernel


def sources():
    """Kernel that counts the pre neurons of some synapses of a counted rule: first and number."""

    @ti.kernel
    def kernel(key: array(ti.u32), span: array(ti.u32), counts: array(ti.u32)):
        k0, k1 = feistel(ti.u32(0), ti.u32(SOURCES), key[0], key[1])
        n = ti.cast(counts.shape[0], ti.u32)
        ti.loop_config(serialize=True)
        for s in range(ti.i32(span[1])):
            counts[ti.i32(below(word(k0, k1, span[0] + ti.u32(s)), n))] += ti.u32(1)

    return kernel
