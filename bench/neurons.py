"""Neuron models for kernels.py, each once as a Python function of one neuron, once in C.

Taichi, jnp, NumPy and numba use the same function. What `exp` and `where` are, and the types of the
numbers in capitals, is up to them.
"""

import types

# Of all models: arrays of states, of inputs, and what states begin with. The last result are the spikes.
STATES = {
    "lif": (("v", "g", "left"), ("add",)),
    "adex": (("v", "w"), ("current",)),
    "hh": (("v", "m", "n", "h"), ("current",)),
    "coba": (("v", "excited", "inhibited", "left"), ("to_e", "to_i")),
}
START = {
    "v": -60.0, "g": 0.0, "left": 0, "w": 0.0, "m": 0.05, "n": 0.3, "h": 0.6,
    "excited": 0.0, "inhibited": 0.0,
}  # fmt: skip
# Ranges of constant inputs, for which neurons fire at about 20 Hz.
INPUTS = {
    "add": (0.0, 0.4), "current": (0.0, 1.0), "to_e": (0.0, 0.02), "to_i": (0.0, 0.02),
}  # fmt: skip
NUMBERS = {
    "HALF": 0.5, "ONE": 1.0, "ZERO": 0.0, "DT": 0.1, "REST": -60.0, "THRESHOLD": -50.0, "E_EXC": 0.0, "E_INH": -80.0,
    "DT_TAU": 0.005, "DECAY": 0.98, "DECAY_E": 0.98, "DECAY_I": 0.99, "V_REST": -52.0, "V_TH": -45.0,
    "SLOPE": 2.0, "V_SPIKE": 20.0, "V_RESET": -70.6, "G_C": 0.1068, "A_C": 0.014, "DT_W": 0.000694, "JUMP": 0.29,
    "I_C": 3.0, "VT": -63.0, "G_NA": 20.0, "G_K": 6.0, "G_L": 0.05, "E_NA": 50.0, "E_K": -90.0, "E_L": -60.0,
    "TINY": 1e-5, "FOUR": 4.0, "FIVE": 5.0, "TEN": 10.0, "U_M": 13.0, "U_M2": 40.0, "U_N": 15.0, "U_N2": 10.0,
    "U_H": 17.0, "WIDE": 40.0, "SPAN": 18.0, "A_M": 1.28, "B_M": 1.4, "A_N": 0.16, "A_H": 0.128,
}  # fmt: skip


def lif(v, g, left, add):
    """Leaky integrate-and-fire with a synaptic current, as of the fly's connectome (Shiu et al., 2024)."""
    free = left <= 0
    v1 = where(free, v + DT_TAU * (V_REST - v + g), v)
    g1 = where(free, g * DECAY + add, g)
    fired = v1 > V_TH
    return where(fired, V_REST, v1), where(fired, ZERO, g1), where(fired, 22, left - 1), fired


def adex(v, w, current):
    """Adaptive exponential integrate-and-fire (Brette and Gerstner, 2005, doi:10.1152/jn.00686.2005)."""
    x = (v - THRESHOLD) / SLOPE
    rise = SLOPE * exp(where(x > TEN, TEN, x))
    v1 = v + DT * (G_C * (V_RESET - v + rise) - w + I_C * current)
    w1 = w + DT_W * (A_C * (v - V_RESET) - w)
    fired = v1 > V_SPIKE
    return where(fired, V_RESET, v1), where(fired, w1 + JUMP, w1), fired


def hh(v, m, n, h, current):
    """Hodgkin-Huxley neurons as in Brette et al. (2007, doi:10.1007/s10827-007-0038-6), after Traub and Miles."""
    u = v - VT
    # Next to 0, where x / (exp(x) - 1) is 0 / 0, x is as good as TINY.
    a, b, c = (U_M - u) / FOUR, (u - U_M2) / FIVE, (U_N - u) / FIVE
    a, b, c = (
        where(a * a < TINY, TINY, a),
        where(b * b < TINY, TINY, b),
        where(c * c < TINY, TINY, c),
    )
    alpha_m, beta_m = A_M * a / (exp(a) - ONE), B_M * b / (exp(b) - ONE)
    alpha_n, beta_n = A_N * c / (exp(c) - ONE), HALF * exp((U_N2 - u) / WIDE)
    alpha_h, beta_h = A_H * exp((U_H - u) / SPAN), FOUR / (ONE + exp((U_M2 - u) / FIVE))
    m1 = m + DT * (alpha_m * (ONE - m) - beta_m * m)
    n1 = n + DT * (alpha_n * (ONE - n) - beta_n * n)
    h1 = h + DT * (alpha_h * (ONE - h) - beta_h * h)
    sodium = G_NA * (m * m * m) * h * (v - E_NA)
    potassium = G_K * (n * n * n * n) * (v - E_K)
    v1 = v + DT * HALF * (I_C * current - G_L * (v - E_L) - sodium - potassium)
    return v1, m1, n1, h1, (v1 > ZERO) & (v <= ZERO)


def coba(v, excited, inhibited, left, to_e, to_i):
    """Integrate-and-fire with conductances (Vogels and Abbott, 2005; Brette et al., 2007)."""
    drive = excited * (E_EXC - v) + inhibited * (E_INH - v)
    v1 = where(left <= 0, v + DT_TAU * (REST - v + drive), v)
    fired = v1 > THRESHOLD
    e1, i1 = excited * DECAY_E + to_e, inhibited * DECAY_I + to_i
    return where(fired, REST, v1), e1, i1, where(fired, 50, left - 1), fired


def function(model, exp, where, number=float):
    """A model's function with these names."""
    plain = globals()[model]
    names = {name: number(value) for name, value in NUMBERS.items()}
    given = {**names, "exp": exp, "where": where, "__name__": plain.__module__}
    made = types.FunctionType(plain.__code__, given, model)
    made.__doc__ = None
    return made


C = {
    "lif": """
    float v0 = v[i], g0 = g[i]; int l0 = left[i], free = l0 <= 0;
    float v1 = free ? v0 + DT_TAU * (V_REST - v0 + g0) : v0, g1 = free ? g0 * DECAY + add[i] : g0;
    int fired = v1 > V_TH;
    v[i] = fired ? V_REST : v1; g[i] = fired ? 0.f : g1; left[i] = fired ? 22 : l0 - 1; spikes[i] = fired;
""",
    "adex": """
    float v0 = v[i], w0 = w[i], x = (v0 - THRESHOLD) / SLOPE;
    float rise = SLOPE * expf(x > TEN ? TEN : x);
    float v1 = v0 + DT * (G_C * (V_RESET - v0 + rise) - w0 + I_C * current[i]);
    float w1 = w0 + DT_W * (A_C * (v0 - V_RESET) - w0);
    int fired = v1 > V_SPIKE;
    v[i] = fired ? V_RESET : v1; w[i] = fired ? w1 + JUMP : w1; spikes[i] = fired;
""",
    "hh": """
    float v0 = v[i], m0 = m[i], n0 = n[i], h0 = h[i], u = v0 - VT;
    float a = (U_M - u) / FOUR, b = (u - U_M2) / FIVE, c = (U_N - u) / FIVE;
    a = a * a < TINY ? TINY : a; b = b * b < TINY ? TINY : b; c = c * c < TINY ? TINY : c;
    float alpha_m = A_M * a / (expf(a) - ONE), beta_m = B_M * b / (expf(b) - ONE);
    float alpha_n = A_N * c / (expf(c) - ONE), beta_n = HALF * expf((U_N2 - u) / WIDE);
    float alpha_h = A_H * expf((U_H - u) / SPAN), beta_h = FOUR / (ONE + expf((U_M2 - u) / FIVE));
    m[i] = m0 + DT * (alpha_m * (1.f - m0) - beta_m * m0);
    n[i] = n0 + DT * (alpha_n * (1.f - n0) - beta_n * n0);
    h[i] = h0 + DT * (alpha_h * (1.f - h0) - beta_h * h0);
    float sodium = G_NA * (m0 * m0 * m0) * h0 * (v0 - E_NA), potassium = G_K * (n0 * n0 * n0 * n0) * (v0 - E_K);
    float v1 = v0 + DT * HALF * (I_C * current[i] - G_L * (v0 - E_L) - sodium - potassium);
    v[i] = v1; spikes[i] = (v1 > 0.f) & (v0 <= 0.f);
""",
    "coba": """
    float v0 = v[i], e0 = excited[i], i0 = inhibited[i]; int l0 = left[i];
    float drive = e0 * (E_EXC - v0) + i0 * (E_INH - v0);
    float v1 = l0 <= 0 ? v0 + DT_TAU * (REST - v0 + drive) : v0;
    int fired = v1 > THRESHOLD;
    v[i] = fired ? REST : v1; left[i] = fired ? 50 : l0 - 1; spikes[i] = fired;
    excited[i] = e0 * DECAY_E + to_e[i]; inhibited[i] = i0 * DECAY_I + to_i[i];
""",
}


def c_source():
    """All models in C, as functions <model>(count, steps, states, spikes, inputs).

    A step is a function that is not inlined: a compiler that sees two steps at once makes one pass
    over the arrays of both, as no network can, whose synapses come between.
    """
    numbers = "".join(f"#define {name} ({value!r}f)\n" for name, value in NUMBERS.items())
    parts = [f"#include <math.h>\n{numbers}"]
    for model, body in C.items():
        states, inputs = STATES[model]
        arrays = [f"{'int' if s == 'left' else 'float'}* restrict {s}" for s in states]
        arrays += [
            "unsigned char* restrict spikes",
            *(f"const float* restrict {s}" for s in inputs),
        ]
        names = [array.split()[-1] for array in arrays]
        parts.append(
            f"__attribute__((noinline)) static void {model}_step(int count, {', '.join(arrays)}) {{\n"
            "#pragma omp parallel for simd schedule(static)\n"
            f"  for (int i = 0; i < count; i++) {{{body}  }}\n}}\n"
            f"void {model}(int count, int steps, {', '.join(arrays)}) {{\n"
            f"  for (int step = 0; step < steps; step++) {model}_step(count, {', '.join(names)});\n"
            "}\n"
        )
    return "\n".join(parts)
