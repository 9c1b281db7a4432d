"""Gather of the braintaichi scheme: sum, for each line, the input at every position it visits."""

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


def gather(element: str):
    """Kernel ``out[line] = sum of weight * x[position]`` over the positions of each line.

    Zeros in `x` add nothing, whatever the weight. The sum runs by increasing position, one rounding
    per visited non-zero input.
    """
    dtype = ELEMENT[element]

    @ti.kernel
    def kernel(
        x: array(dtype),
        weight: array(dtype),
        seed: array(ti.u32),
        scheme: array(ti.u32),
        out: array(dtype),
    ):
        lines = out.shape[0]
        n = ti.u32(x.shape[0])
        gaps = uniform_gaps(scheme)
        factor = weight[0]
        start = seed[0]
        ti.loop_config(serialize=True)
        for group in range((lines + LANES - 1) // LANES):
            s1 = zeros(ti.u32)
            s2 = zeros(ti.u32)
            s3 = zeros(ti.u32)
            at = zeros(ti.u32)
            total = zeros(dtype)
            for l in ti.static(range(LANES)):
                a, b, c = first_state(start + ti.u32(group * LANES + l), gaps.hashed)
                s1[l], s2[l], s3[l] = a, b, c
                # The first gap leads from -1.
                at[l] = ti.u32(0) - ti.u32(1)
            running = True
            while running:
                s1, s2, s3 = next_state(s1, s2, s3)
                w = word88(s1, s2, s3)
                running = False
                for l in ti.static(range(LANES)):
                    # Capped, so that a row that has ended cannot wrap around and begin again.
                    at[l] = ti.min(at[l] + remainder(w[l], gaps) + ti.u32(1), n)
                    if at[l] < n:
                        running = True
                        value = x[ti.i32(at[l])]
                        if not (value == 0):  # NaN counts, as in a dense product
                            total[l] += value * factor
            for l in ti.static(range(LANES)):
                if group * LANES + l < lines:
                    out[group * LANES + l] = total[l]

    return kernel
