"""Scatter of the braintaichi scheme: add the value of each line at every position it visits."""

import taichi as ti

from sampler_ti import (
    ELEMENT,
    LANES,
    array,
    first_state,
    next_state,
    remainder,
    uniform_gaps,
    word88,
    zeros,
)


def scatter(element: str):
    """Kernel ``out[base + position] += value`` for a list of lines.

    A line is (seed, index, base, stop, value): its random stream is seed + index, its position 0
    lies at ``out[base]`` and it ends before ``out[stop]``. Lines of different streams and different
    targets may share a list. ``scheme`` holds the words of `UniformGaps`.
    """
    dtype = ELEMENT[element]

    @ti.kernel
    def kernel(
        seed: array(ti.u32),
        index: array(ti.u32),
        base: array(ti.u32),
        stop: array(ti.u32),
        value: array(dtype),
        scheme: array(ti.u32),
        out: array(dtype),
    ):
        count = value.shape[0]
        gaps = uniform_gaps(scheme)
        ti.loop_config(serialize=True)
        for group in range((count + LANES - 1) // LANES):
            s1 = zeros(ti.u32)
            s2 = zeros(ti.u32)
            s3 = zeros(ti.u32)
            at = zeros(ti.u32)
            end = zeros(ti.u32)
            v = zeros(dtype)
            for l in ti.static(range(LANES)):
                # Lanes past the last row read it again, with an end of 0: they add nothing.
                j = ti.min(group * LANES + l, count - 1)
                a, b, c = first_state(seed[j] + index[j], gaps.hashed)
                s1[l], s2[l], s3[l] = a, b, c
                at[l] = base[j] - ti.u32(1)
                if group * LANES + l < count:
                    end[l] = stop[j]
                v[l] = value[j]
            every = True
            for l in ti.static(range(LANES)):
                s1[l], s2[l], s3[l] = next_state(s1[l], s2[l], s3[l])
                at[l] += remainder(word88(s1[l], s2[l], s3[l]), gaps) + ti.u32(1)
                every = every & (at[l] < end[l])
            # While all rows go on, no lane needs a look; most of the work is here.
            while every:
                for l in ti.static(range(LANES)):
                    out[ti.i32(at[l])] += v[l]
                every = True
                for l in ti.static(range(LANES)):
                    s1[l], s2[l], s3[l] = next_state(s1[l], s2[l], s3[l])
                    at[l] += remainder(word88(s1[l], s2[l], s3[l]), gaps) + ti.u32(1)
                    every = every & (at[l] < end[l])
            some = False
            for l in ti.static(range(LANES)):
                some = some | (at[l] < end[l])
            # Then rows end one by one.
            while some:
                for l in ti.static(range(LANES)):
                    if at[l] < end[l]:
                        out[ti.i32(at[l])] += v[l]
                some = False
                for l in ti.static(range(LANES)):
                    s1[l], s2[l], s3[l] = next_state(s1[l], s2[l], s3[l])
                    # a line that has ended stays at its end
                    at[l] = (
                        ti.min(at[l], end[l])
                        + remainder(word88(s1[l], s2[l], s3[l]), gaps)
                        + ti.u32(1)
                    )
                    some = some | (at[l] < end[l])

    return kernel
