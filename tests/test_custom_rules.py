"""Rules that users leave out or get wrong, and the handler called by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import custom_kernels as kernels
import evops
from evops.compiler import native

STRUCT = jax.ShapeDtypeStruct
OUT = [STRUCT((3,), np.float32)]
X = np.ones(3, np.float32)
op = evops.XLACustomOp


def test_rules_that_are_missing():
    f = lambda x: op(kernels.double)(x, outs=OUT)[0].sum()  # noqa: E731
    for transform in (jax.grad(f), lambda x: jax.jvp(f, (x,), (x,))):
        with pytest.raises(
            NotImplementedError, match="double has no rule for .*derivatives.*jvp=…"
        ):
            transform(jnp.ones(3))
    with pytest.raises(NotImplementedError, match="double has no rule for reverse.*transpose=…"):
        jax.linear_transpose(lambda x: op(kernels.double)(x, outs=OUT)[0], X)(jnp.ones(3))


def test_rules_that_return_something_else():
    def call(x, **options):
        return op(kernels.double, **options)(x, outs=OUT)[0]

    x = jnp.ones(3)
    bad = {
        r"jvp must return \(results, tangents\)": {"jvp": lambda p, t, *, outs: p[0]},
        "jvp must return 1 arrays": {"jvp": lambda p, t, *, outs: ([], t)},
        r"jvp, for the tangents, returned float32\[2\] as entry 0, expected float32\[3\]": {
            "jvp": lambda p, t, *, outs: (p, [t[0][:2]])
        },
    }
    for message, rules in bad.items():
        with pytest.raises(TypeError, match=f"double: {message}"):
            jax.jvp(functools.partial(call, **rules), (x,), (x,))
    for message, rule in {
        r"transpose returned float32\[4\]": lambda ct, x, *, outs: [jnp.ones(4)],
        "transpose must return 1 arrays": lambda ct, x, *, outs: [ct, ct],
    }.items():
        with pytest.raises(TypeError, match=f"double: {message}"):
            jax.linear_transpose(functools.partial(call, transpose=rule), x)(x)
    for message, rule in {
        r"batching must return \(results, axes\)": lambda a, axes, *, outs: a[0],
        "batching must return 1 results and axes": lambda a, axes, *, outs: ([], []),
        r"batching returned float32\[2, 2\] as entry 0, expected float32\[2, 3\]": (
            lambda a, axes, *, outs: ([a[0][:, :2]], [0])
        ),
        r"batching returned float32\[2, 3\] as entry 0, expected float32\[3, 2\]": (
            lambda a, axes, *, outs: (a, [1])
        ),
    }.items():
        with pytest.raises(TypeError, match=f"double: {message}"):
            jax.vmap(functools.partial(call, batching=rule))(jnp.ones((2, 3)))
    wrong = evops.XLACustomOp(fallback=lambda x, *, outs: [x[:2]], name="mine")
    with pytest.raises(TypeError, match=r"mine: fallback returned float32\[2\] as entry 0"):
        wrong(x, outs=OUT)


# ---- The handler, called by hand.


@pytest.fixture
def key(monkeypatch):
    keys, registered = [], native.registered

    def remember(request):
        keys.append(registered(request))
        return keys[-1]

    monkeypatch.setattr(native, "registered", remember)
    op(kernels.double)(X, outs=OUT)
    return keys[-1]


HANDLED = {
    "the kernel is not loaded in this process; trace or call its evops.XLACustomOp": {
        "key": "0" * 64
    },
    "1 operands and 2 results of their own, the kernel has 2 arrays": {
        "outs": OUT * 2,
        "contents": [-1, -1],
    },
    "1 operands and 0 results of their own, the kernel has 2 arrays": {"contents": [0]},
    "1 results, and contents of 2": {"contents": [-1, -1]},
    "contents of result 0 are -3": {"contents": [-3]},
    "contents of result 0 are 1": {"contents": [1]},
    "contents of result 1 are 0": {"outs": OUT * 2, "contents": [0, 0]},
    r"operand 0 is int32\[3\], expected float32 of rank 1": {"x": np.ones(3, np.int32)},
    r"operand 0 is float32\[3,1\], expected float32 of rank 1": {"x": X[:, None]},
    r"result 0 is uint8\[3\], expected float32 of rank 1": {"outs": [STRUCT((3,), np.uint8)]},
    r"result 0 is float32\[\], expected float32 of rank 1": {"outs": [STRUCT((), np.float32)]},
}


@pytest.mark.parametrize(("message", "change"), HANDLED.items())
def test_handler_refuses(key, message, change):
    given = {"key": key, "x": X, "outs": OUT, "contents": [-1], **change}
    call = jax.ffi.ffi_call("evops_custom", given["outs"])
    with pytest.raises(Exception, match=f"evops_custom mine: {message}"):
        contents = np.array(given["contents"], np.int64)
        jax.block_until_ready(call(given["x"], key=given["key"], name="mine", contents=contents))
