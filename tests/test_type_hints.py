"""While tests run, types and shapes are checked as signatures show them, which is as they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

import evops
import fuzz_refused
from fuzz_calls import CALLS
from test_objects import MAKE
from unchecked import unchecked

pytestmark = pytest.mark.range_ends

W = MAKE["projection"]()
WRONG = {
    "shape": (lambda: W.push(np.ones((6, 1)), W), "spikes must have shape"),
    "axes": (lambda: evops.DelayBuffer(np.ones(4)), r"sums must have shape \(slots, n\)"),
    "type": (lambda: W["x"], "no entries to index"),
    "parameter of a rule": (lambda: evops.FixedProbability("0.5"), "p must be a real number"),
    "published": (
        lambda: evops.mv_prob_homo(np.ones((6, 1)), 1.0, 0.5, 1, shape=(6, 6)),
        "vector must have shape",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_hook_is_on_and_bad_input_meets_evops_own_errors(what):
    call, message = WRONG[what]
    for _ in range(2):  # on again after a block of pytest.raises
        with pytest.raises(TypeCheckError):
            call()
        with pytest.raises((ValueError, TypeError), match=message) as raised:
            call()
        assert not isinstance(raised.value, TypeCheckError)


def test_the_fixture_lets_bad_input_pass_the_hook(bad_input):
    for call, message in WRONG.values():
        with pytest.raises((ValueError, TypeError), match=message):
            call()
    try:
        evops.FixedProbability("0.5")
    except TypeError as error:
        assert not isinstance(error, TypeCheckError)


def test_shapes_of_results_are_checked(monkeypatch):
    monkeypatch.setattr(type(W), "_dense", lambda self, transposed: jnp.ones(6))
    with pytest.raises(TypeCheckError, match="return value of evops.matrix.Matrix.todense"):
        W.todense()


ACCEPTED = [
    (number, name)
    for number, call in enumerate(CALLS)
    for name, kind in call.kinds.items()
    if kind.fine or kind.either
]


@pytest.mark.parametrize(("number", "name"), ACCEPTED)
def test_what_is_taken_without_the_hook_is_taken_with_it(number, name):
    """The fuzzer's odd values that evops takes, or may take."""
    of = CALLS[number]
    good = {k: values[0] for k, values in of.good.items()}
    fine, either = of.kinds[name].fine, of.kinds[name].either
    for value in (*(v for v, _ in fine), *either):
        text = fuzz_refused.fill(of, good, name, value)
        try:
            with unchecked():
                eval(text, vars(fuzz_refused))
        except Exception:
            assert value in either, text
        else:
            eval(text, vars(fuzz_refused))


@pytest.mark.parametrize("method", ["__jax_array__", "__array__"])
def test_objects_that_make_arrays_are_taken(method):
    xp = jnp if method == "__jax_array__" else np
    given = type("Given", (), {method: lambda self, dtype=None, copy=None: xp.ones(6)})()
    want = jnp.ones(6) @ W
    np.testing.assert_array_equal(given @ W, want)
    np.testing.assert_array_equal(W(given), want)
    sums = [W.push(x, evops.DelayBuffer.zeros(6, 1)).sums for x in (given, jnp.ones(6))]
    np.testing.assert_array_equal(*sums)
    k = np.arange(6)
    np.testing.assert_array_equal(evops.CSR(given, k, [*k, 6], shape=(6, 6)).data, np.ones(6))


class Events:
    """What holds an array as brainevent's events do: numpy would read its entries one by one."""

    ndim, shape, dtype = 1, (6,), np.dtype(bool)

    def __init__(self, value):
        self.value = value

    def __len__(self):
        return len(self.value)

    def __getitem__(self, key):
        raise AssertionError("entries are read one by one")


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_events_that_hold_an_array_are_taken(wrap):
    flags, S = jnp.arange(6) % 2 == 0, W.tocsr()
    for use in (
        lambda x: x @ W,
        lambda x: W.T @ x,
        lambda x: x @ S,
        lambda x: W.push(x, evops.DelayBuffer.zeros(6, 1)).sums,
    ):
        got = wrap(lambda flags, use=use: use(Events(flags)))(flags)
        np.testing.assert_array_equal(got, use(flags))


USES = {
    "projection": lambda W, x: x[:6] @ W,
    "counted": lambda W, x: W @ x[:6],
    "csr": lambda W, x: x[:2] @ W,
    "areas": lambda W, x: W(x.reshape(2, 6), W.buffer())[0],
    "circuit": lambda W, x: W.push(x, W.buffer()).sums,
    "buffer": lambda b, x: b.pop()[1].with_sums(b.sums + x[0], advance=1).sums,
    "transposed": lambda W, x: x[:6] @ W,
    "law": lambda law, x: law.parameters(x.dtype) * x[0],
}


@pytest.mark.parametrize("kind", USES)
def test_trees_of_axes_come_from_tree_map(kind):
    """Leaves are what jax puts there: axes, None, markers; nothing checks them on their way."""
    make = {**MAKE, "transposed": lambda: W.T, "law": lambda: evops.Uniform(0.0, jnp.ones(()))}
    one, x = make[kind](), jnp.arange(12.0)
    many = jax.tree.map(lambda a: jnp.stack([jnp.asarray(a)] * 2), one)
    axes = jax.tree.map(lambda _: 0, one)
    both = jax.vmap(USES[kind], in_axes=(axes, None))
    want = USES[kind](one, x)
    np.testing.assert_array_equal(both(many, x), jnp.stack([want] * 2))
    same = jax.vmap(lambda tree: tree, in_axes=(axes,), out_axes=axes)(many)
    assert jax.tree.structure(same) == jax.tree.structure(many)
    none = jax.tree.map(lambda _: None, one)
    jax.vmap(lambda W, x: USES[kind](W, x), in_axes=(none, 0))(one, x[None])
