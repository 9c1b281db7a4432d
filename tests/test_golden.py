"""The outputs of the original library.

To the bit where it is addition of one weight, or a matrix of drawn uniform numbers; sums of drawn
weights or of real inputs are rounded in another order, and logarithms by another library.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import evops
from bits import ORDERED, assert_same_bits
from evops.engine.library import levels

GOLDEN = Path(__file__).parent / "golden"
FLAGS = ("transpose", "outdim_parallel")

# The density is off in some of the recorded cases.
pytestmark = pytest.mark.filterwarnings("ignore::evops.EvopsConnectivityWarning")


def load(name):
    cases = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    return cases, np.load(GOLDEN / f"{name}.npz")


def unpack(packed, shape, dtype):
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(dtype)


def check_close(y, expected, case):
    """Equal up to 3e-5 (in another order 5e-5) for sums up to 40, and in proportion above."""
    assert y.dtype == expected.dtype
    bound = (3e-5 if ORDERED else 5e-5) * np.maximum(1, np.abs(expected) / 40)
    wrong = np.abs(np.asarray(y, np.float64) - expected) > bound
    assert y.shape == expected.shape and not wrong.any(), (case, np.flatnonzero(wrong))


def check_vectors(backend):
    """Number of cases of each operator."""
    cases, arrays = load("jitc")
    for case in cases:
        kind, _, law = case["op"].rpartition("_")
        n_in = case["shape"][0] if case["transpose"] else case["shape"][1]
        x = arrays[f"e{case['id']}"]
        if case["dtype"] == "bool":
            x = unpack(x, (n_in,), bool)
        operator = getattr(evops, f"{'event_' if kind else ''}mv_prob_{law}")
        y = operator(
            x, *case["w"], case["prob"], case["seed"], shape=tuple(case["shape"]),
            **{flag: case[flag] for flag in FLAGS}, backend=backend,
        )  # fmt: skip
        y, expected = np.asarray(y), arrays[f"o{case['id']}"]
        if case["op"] == "event_homo":
            np.testing.assert_array_equal(y, expected, err_msg=str(case), strict=True)
        check_close(y, expected, case)
    return Counter(case["op"] for case in cases)


def check_matrices(backend):
    cases, arrays = load("weight_matrices")
    for case in cases:
        matrix = getattr(evops, f"get_{case['op']}_weight_matrix")
        y = matrix(
            *case["w"], case["prob"], case["seed"], shape=tuple(case["shape"]),
            **{flag: case[flag] for flag in FLAGS}, backend=backend,
        )  # fmt: skip
        y, expected = np.asarray(y), arrays[f"m{case['id']}"]
        if case["op"] != "normal":
            assert_same_bits(y, expected, str(case))
        np.testing.assert_array_equal(y != 0, expected != 0, err_msg=str(case))
        check_close(y, expected, case)
    return Counter(case["op"] for case in cases)


def check_areas(backend):
    cases, arrays = load("multiarea")
    for case in cases:
        areas, shape = case["areas"], tuple(case["shape"])
        e, s, w, expected = (arrays[f"{k}{case['id']}"] for k in "eswo")
        events = unpack(e, shape[:1] if case["op"] == "E" else (areas, shape[0]), case["dtype"])
        operator = getattr(evops, f"multi_area_event_mv_prob_homo_{case['op']}")
        y = operator(events, w, s, case["prob"], shape=shape, area_num=areas, backend=backend)
        np.testing.assert_array_equal(np.asarray(y), expected, err_msg=str(case), strict=True)
    return len(cases)


def check_nan(backend):
    arrays = np.load(GOLDEN / "nan_events.npz")
    done = 0
    for parallel in (False, True):
        y = evops.event_mv_prob_homo(
            arrays["e"], 0.3, 0.1, 7, shape=(100, 80), outdim_parallel=parallel, backend=backend
        )
        np.testing.assert_array_equal(np.asarray(y), arrays[f"o_{parallel}"], strict=True)
        done += 1
    return done


@pytest.mark.thin(2)
def test_vector_operators_equal_recorded(backend):
    each = dict.fromkeys(("homo", "uniform", "normal", "event_uniform", "event_normal"), 16)
    assert check_vectors(backend) == {"event_homo": 72, **each}


@pytest.mark.thin(2)
def test_matrices_equal_recorded(backend):
    assert check_matrices(backend) == {"homo": 12, "uniform": 12, "normal": 12}


@pytest.mark.thin(2)
def test_multi_area_operators_equal_recorded(backend):
    assert check_areas(backend) == 53


def test_nan_infinite_and_denormal_events_equal_recorded(backend):
    assert check_nan(backend) == 2


@pytest.mark.slow  # test_levels has some for all levels
@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("x64", ["0", "1"])
def test_every_instruction_set_and_x64_equals_recorded(level, x64):
    code = (
        "import evops, test_golden as t; "
        f"assert evops.backends()['native'].detail.endswith({level!r}), evops.backends(); "
        "t.check_vectors('native'); t.check_matrices('native'); "
        "t.check_areas('native'); t.check_nan('native')"
    )
    environment = {**os.environ, "EVOPS_ISA": level, "JAX_ENABLE_X64": x64}
    code = f"import sys; sys.path.insert(0, {str(GOLDEN.parent)!r}); {code}"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
