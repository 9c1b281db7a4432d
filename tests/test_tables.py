"""Circuits of tables: dicts, files and data frames; what a row's synapses depend on; what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import evops

P = evops.Populations({"E": 80, "I": 20})
ROWS = [
    {"source": "E", "target": "E", "p": 0.1, "weight": 0.5, "weight_sd": 0.1, "delay": 1.5},
    {"source": "E", "target": "I", "number": 300, "weight": 0.5, "delay": 1.5, "delay_sd": 0.7},
    {"source": "I", "target": "E", "indegree": 4, "weight": -2, "delay": 0.8},
    {"source": "E", "target": "I", "p": 0.2, "weight": 0.1, "delay": 2.0, "receptor": "nmda"},
]
FROM = {"dt": 0.1, "seed": 100}


def circuit(rows=ROWS, **options):
    return evops.Circuit.from_table(P, rows, **FROM | options)


def edges(c, key):
    return tuple(np.asarray(a) for a in c.projections[key].edges()[:2])


def test_rows_are_projections():
    c = circuit()
    assert [*c.projections] == [("E", "E"), ("E", "I"), ("I", "E"), ("E", "I", "nmda")]
    W = c.projections["E", "E"]
    assert W.rule == evops.FixedProbability(0.1) and W.delay == evops.Constant(15.0)
    assert W.law == evops.Normal(np.float32(0.5), np.float32(0.1))
    V = c.projections["E", "I"]
    assert V.rule == evops.FixedTotalNumber(300) and V.law == evops.Constant(np.float32(0.5))
    assert V.delay.low == 0.5 and V.delay.mean == 15 and V.delay.std == pytest.approx(7)
    assert c.projections["I", "E"].rule == evops.FixedInDegree(4)
    assert c.receptors == ("nmda",)


def test_synapses_depend_on_the_seed_and_the_key_alone():
    plain = circuit()
    other = [row | {"weight": 3.0, "delay": 0.3, "weight_sd": 1.0} for row in reversed(ROWS)]
    more = [*other, {"source": "I", "target": "I", "p": 0.5, "weight": 1, "delay": 1}]
    for key in plain.projections:
        for one, again in zip(edges(plain, key), edges(circuit(more), key), strict=True):
            np.testing.assert_array_equal(one, again)
    same = evops.Circuit.from_table(P, ROWS, dt=0.1, seed=jax.random.key(100))
    np.testing.assert_array_equal(edges(plain, ("E", "E")), edges(same, ("E", "E")))
    other_seed = edges(circuit(seed=101), ("E", "E"))
    assert len(other_seed[0]) != len(edges(plain, ("E", "E"))[0])
    keys = [tuple(np.asarray(W.key)) for W in plain.projections.values()]
    assert len(set(keys)) == len(keys)


def test_files_and_frames(tmp_path):
    names = ["source", "target", "p", "number", "indegree", "weight", "weight_sd", "delay"]
    names += ["delay_sd", "receptor"]
    want = circuit()
    for separator, empty in ((",", ""), (";", ""), ("\t", " ")):
        path = tmp_path / "table.csv"
        lines = [separator.join(names)]
        lines += [separator.join(str(row.get(n, empty)) for n in names) for row in ROWS]
        path.write_text("\n".join(lines) + "\n\n")
        for given in (path, str(path)):
            same(want, circuit(given, separator=separator))
    # what pandas has of a table; it is no requirement
    frame = SimpleNamespace(
        columns=names,
        to_dict=lambda kind: [{n: row.get(n, np.nan) for n in names} for row in ROWS],
    )
    same(want, circuit(frame))


def same(one, other):
    assert [*one.projections] == [*other.projections]
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.max_delay == other.max_delay


def test_zeros_make_no_projection():
    rows = [ROWS[0] | {"p": 0.0}, ROWS[1] | {"number": 0}, ROWS[2]]
    assert [*circuit(rows).projections] == [("I", "E")]
    assert not circuit([]).projections


def test_laws_of_the_users():
    clipped = circuit(delay=lambda mean, sd: evops.Clipped(mean, sd, low=1))
    assert isinstance(clipped.projections["E", "I"].delay, evops.Clipped)
    positive = circuit(weight=lambda mean, sd: evops.Normal(mean, sd, low=0))
    assert positive.projections["E", "E"].law.low == 0


MICROCIRCUIT = {
    # Potjans & Diesmann (2014), doi:10.1093/cercor/bhs358, Table 5; target by source
    "names": ["2/3E", "2/3I", "4E", "4I", "5E", "5I", "6E", "6I"],
    "neurons": [20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948],
}


def microcircuit_model():
    folder = Path(evops.__file__).parent / "networks" / "microcircuit2014" / "data"
    return json.loads(next(folder.glob("*.json")).read_text())


def test_the_table_of_the_microcircuit(tmp_path):
    """55 pairs from a file with another program's headers, separated by blanks."""
    names, neurons = MICROCIRCUIT["names"], MICROCIRCUIT["neurons"]
    p = np.array(microcircuit_model()["connection_probability"])
    assert p.shape == (8, 8)
    lines = ["Source SourceType Target TargetType Pmax Weight Wstd Delay Dstd"]
    for j, i in np.ndindex(8, 8):
        inhibitory = names[j][-1] == "I"
        weight, delay = (-351.2, 0.8) if inhibitory else (87.8, 1.5)
        if p[i, j] > 0:
            cells = names[j][:-1], names[j][-1], names[i][:-1], names[i][-1], p[i, j], weight
            lines.append("  ".join(map(str, (*cells, abs(weight) / 10, delay, delay / 2))) + " ")
    path = tmp_path / "shimoura1.csv"
    path.write_text("\n".join(lines))
    scale = 0.01  # of the neurons: few synapses
    populations = evops.Populations(
        {n: int(k * scale) for n, k in zip(names, neurons, strict=True)}
    )
    c = evops.Circuit.from_table(
        populations,
        path,
        dt=0.1,
        seed=100,
        separator=" ",
        total_from_p=True,
        columns={
            ("Source", "SourceType"): "source",
            ("Target", "TargetType"): "target",
            "Pmax": "p",
            "Weight": "weight",
            "Wstd": "weight_sd",
            "Delay": "delay",
            "Dstd": "delay_sd",
        },
        delay=lambda mean, sd: evops.Clipped(mean, sd, low=1),
    )
    assert len(c.projections) == 55
    for (source, target), W in c.projections.items():
        i, j = names.index(target), names.index(source)
        n, m = W.shape
        assert W.rule.k == round(np.log(1 - p[i, j]) / np.log(1 - 1 / (n * m)))
        assert W.shape == (populations.size(source), populations.size(target))


def test_totals_from_probabilities():
    total = evops.FixedTotalNumber.from_probability
    assert total(0.1009, (20683, 20683)).k == 45499806  # NEST's; a program that truncates: 45499805
    assert total(0.0, (3, 4)).k == 0 and total(0.5, (1, 2)).k == 1
    for p, shape in ((1.0, (3, 4)), (0.5, (1, 1))):
        with pytest.raises(ValueError, match=r"p must be in \[0, 1\) and 0 for one pair"):
            total(p, shape)
    with pytest.raises(ValueError, match="k must be an integer from 0 to"):
        total(0.999, (2**16, 2**16))


CHANGES = [
    ({"source": "X"}, "source must be one of E, I, got 'X'"),
    ({"target": ""}, "target must be given, as source, target, weight, delay are"),
    ({"p": None}, "one of p, number and indegree must be given, got none"),
    ({"number": 3}, "one of p, number and indegree must be given, got p and number"),
    ({"p": 1.5}, r"p must be in \[0, 1\], got 1.5"),
    ({"p": -0.1}, r"p must be in \[0, 1\], got -0.1"),
    ({"p": "many"}, "p must be a number, got 'many'"),
    ({"p": None, "number": 1.5}, "number must be an integer from 0 on, got 1.5"),
    ({"p": None, "indegree": -1}, "indegree must be an integer from 0 on, got -1.0"),
    ({"p": None, "number": 2**31}, "k must be an integer from 0 to 2147483647"),
    ({"weight": float("nan")}, "weight must be given"),
    ({"weight": float("inf")}, "weight must be a finite number"),
    ({"weight": [1]}, "weight must be a real number"),
    ({"weight_sd": -1}, "weight_sd must be at least 0, got -1.0"),
    ({"delay": 0.04}, "delay must be at least 1 step|delay must be a whole number"),
    ({"delay": 0.15}, "delay must be a whole number of steps"),
    ({"delay_sd": -1}, "delay_sd must be at least 0"),
    ({"colour": 3}, "column 'colour' is unknown; known are source, target, receptor, p"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=range(len(CHANGES)))
def test_a_wrong_row_is_named(change, message):
    with pytest.raises((TypeError, ValueError), match=f"table row 1: .*({message})"):
        circuit([ROWS[2], ROWS[0] | change])


def test_tables_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="table row 4: E to I stands in table row 1 already"):
        circuit([*ROWS, ROWS[1]])
    with pytest.raises(ValueError, match="there is no column 'Pmax'; there are 'source'"):
        circuit(columns={"Pmax": "p"})
    with pytest.raises(ValueError, match=r"columns\['p'\] must be one of source, .* got 'prob'"):
        circuit(columns={"p": "prob"})
    with pytest.raises(ValueError, match="column 'p' is unknown a second time"):
        circuit([ROWS[0] | {"Pmax": 0.1}], columns={"Pmax": "p"})
    assert circuit([ROWS[0] | {"note": "x"}], columns={"note": None}).projections
    for table in (3, {"source": "E"}, None):
        with pytest.raises(TypeError, match="table must be a DataFrame, a list of dicts or a path"):
            circuit(table)
    with pytest.raises(TypeError, match="table row 0 must map columns to values"):
        circuit([3])
    with pytest.raises(TypeError, match="columns must map columns to names"):
        circuit(columns=["p"])
    with pytest.raises(TypeError, match="delay must be a function of mean and deviation"):
        circuit(delay=1.5)
    with pytest.raises(TypeError, match="table row 0: weight must make a weight law, got 3"):
        circuit(weight=lambda mean, sd: 3)
    with pytest.raises(ValueError, match="dt must be above 0, got 0.0"):
        circuit(dt=0)
    with pytest.raises(FileNotFoundError):
        circuit(tmp_path / "none.csv")
    path = tmp_path / "table.csv"
    for text, message in (
        ("", "has no header"),
        ("source,source\n", "has column 'source' twice"),
        ("source,target\nE\n", "table row 0: 2 cells expected, got 1"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            circuit(path)
    with pytest.raises(ValueError, match="separator must be one character, got ',,'"):
        circuit(path, separator=",,")
