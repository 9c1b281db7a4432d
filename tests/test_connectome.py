"""The example of a whole connectome: reading tables, and the spikes of Brian2 on the same input.

``python tests/test_connectome.py NETWORK.npz`` writes the network that bench/connectome_brian.py takes, for 3,000 steps.
"""

import functools
import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "connectome_brian2.npz"
NEURONS, PAIRS, STEPS, DRIVEN = 2000, 100_000, 3000, 12


@functools.cache
def example(name: str = "connectome"):
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def small():
    """Pairs, the neurons that are driven, and their input, (steps, driven)."""
    twin = example("connectome_twin")
    pre, post, counts = twin.pairs(NEURONS, PAIRS, seed=5)
    driven = twin.hubs(pre, counts, DRIVEN)
    return pre, post, counts * 3, driven, np.random.default_rng(6).random((STEPS, DRIVEN)) < 0.015


def write(out: str) -> None:
    pre, post, counts, driven, events = small()
    step, source = np.nonzero(events)
    network = {"pre": pre, "post": post, "counts": counts, "n": NEURONS, "driven": driven}
    np.savez_compressed(out, **network, step=step, source=source)


@pytest.mark.parametrize("backend", ["native", "jnp"])
def test_spikes_are_those_of_brian2(backend):
    c, want = example(), np.load(GOLDEN)
    pre, post, counts, driven, events = small()
    with jax.enable_x64(True):
        made = c.connect(pre, post, counts, c.Model())
        assert made.ids.tolist() == list(range(NEURONS))
        which, count = c.run(
            made.synapses, jnp.asarray(driven), jnp.asarray(events[None]), model=c.Model(),
            capacity=NEURONS, dtype=jnp.float64, backend=backend,
        )  # fmt: skip
    step, place = np.nonzero(np.asarray(which[0]) < NEURONS)
    assert len(want["step"]) > 5000 and len(np.unique(want["neuron"])) > 3 * DRIVEN
    np.testing.assert_array_equal(step, want["step"])
    np.testing.assert_array_equal(np.asarray(which[0])[step, place], want["neuron"])
    np.testing.assert_array_equal(count[0], np.bincount(want["step"], minlength=STEPS))


TABLE = """id_a,id_b,n,kind
720575940600000003,720575940600000001,4,1
720575940600000001,720575940600000002,7,-1
720575940600000003,720575940600000001,2,1
720575940600000002,720575940600000001,1,-1
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read(kind, tmp_path):
    c, path = example(), tmp_path / f"table.{kind}"
    if kind == "csv":
        path.write_text(TABLE)
    else:
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        rows = [line.split(",") for line in TABLE.splitlines()]
        pandas.DataFrame(np.array(rows[1:], np.int64), columns=rows[0]).to_parquet(path)
    made = c.read(path, "id_a", "id_b", "n", "kind")
    assert made.ids.tolist() == [720575940600000000 + k for k in (1, 2, 3)]
    np.testing.assert_allclose(
        made.synapses.todense(), np.array([[0, -7, 0], [-1, 0, 0], [6, 0, 0]]) * 0.275, rtol=1e-6
    )
    assert made.synapses.data.dtype == np.int16 and made.synapses.max_delay == 17
    assert made.index([720575940600000002]).tolist() == [1]
    with pytest.raises(ValueError, match="no neuron has the id 5"):
        made.index([5])
    with pytest.raises((ValueError, Exception), match="other"):
        c.read(path, "other", "id_b", "n")


def test_trials_are_alone_what_they_are_together():
    c = example()
    pre, post, counts, driven, _ = small()
    made = c.connect(pre, post, counts, c.Model())
    three = c.simulate(made, driven, 50.0, trials=3, seed=1)
    assert three.shape == (3, NEURONS) and (three[:, driven] > 0).any()
    assert (three[0] != three[1]).any()
    events = jax.random.bernoulli(jax.random.key(1), 0.015, (3, 500, DRIVEN))
    alone = c.run(
        made.synapses, jnp.asarray(driven), events[1:2], model=c.Model(), capacity=NEURONS
    )[0]
    np.testing.assert_array_equal(np.bincount(alone.ravel(), minlength=NEURONS + 1)[:-1], three[1])


if __name__ == "__main__":
    write(sys.argv[1])
