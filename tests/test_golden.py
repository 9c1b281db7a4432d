"""Rung 1: the outputs of the original library, to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evops

GOLDEN = Path(__file__).parent / "golden"


def load(name):
    cases = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    return cases, np.load(GOLDEN / f"{name}.npz")


def unpack(packed, shape, dtype):
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(dtype)


def check_homo(backend):
    cases, arrays = load("jitc")
    done = 0
    for case in (c for c in cases if c["op"] == "event_homo"):
        n_in = case["shape"][0] if case["transpose"] else case["shape"][1]
        events = arrays[f"e{case['id']}"]
        if case["dtype"] == "bool":
            events = unpack(events, (n_in,), bool)
        expected = arrays[f"o{case['id']}"]
        flags = {k: case[k] for k in ("transpose", "outdim_parallel")}
        y = evops.event_mv_prob_homo(
            events, case["w"][0], case["prob"], case["seed"], shape=tuple(case["shape"]), **flags,
            backend=backend,
        )  # fmt: skip
        np.testing.assert_array_equal(np.asarray(y), expected, err_msg=str(case), strict=True)
        done += 1
    return done


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


def test_event_mv_prob_homo_equals_recorded(backend):
    assert check_homo(backend) == 72


def test_multi_area_operators_equal_recorded(backend):
    assert check_areas(backend) == 53


def test_nan_infinite_and_denormal_events_equal_recorded(backend):
    assert check_nan(backend) == 2


@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3"])
@pytest.mark.parametrize("x64", ["0", "1"])
def test_every_instruction_set_and_x64_equals_recorded(level, x64):
    code = (
        "import evops, test_golden as t; "
        f"assert evops.backends()['native'].detail.endswith({level!r}), evops.backends(); "
        "t.check_homo('native'); t.check_areas('native'); t.check_nan('native')"
    )
    environment = {**os.environ, "EVOPS_ISA": level, "JAX_ENABLE_X64": x64}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=GOLDEN.parent)
