"""Arguments that the networks' commands refuse, in one line, before they simulate anything."""

import pytest

from evops.__main__ import main

REFUSED = {
    "coba2005": [
        (["--size", "-5"], "size must be an integer from 2 to 100000000, got -5"),
        (["--size", "1"], "size must be an integer from 2 to 100000000, got 1"),
        (["--synapses", "0"], "synapses must be an integer from 1 to 4000, got 0"),
        (["--size", "50"], "synapses must be an integer from 1 to 50, got 80"),
    ],
    "microcircuit2014": [
        (["--scale", "7"], "scale must be from 0.01 to 1, got 7.0"),
        (["--settle", "-1"], "settle must be from 0 to 1e6 ms, got -1.0"),
        (
            ["--duration", "100", "--thalamus", "95"],
            "thalamus must be from 0 ms to the end of the duration less 10 ms, 90 ms, got 95",
        ),
        (["--duration", "5", "--thalamus"], "thalamus must be from 0 ms"),
    ],
    "joglekar2018": [
        (["--trials", "0"], "trials must be from 1"),
        (["--data", "/nowhere"], "data must be a directory, got '/nowhere'"),
    ],
}
REFUSED_BY_ALL = [
    (["--duration", "0"], "duration must be from one step (0.1 ms) to 1e"),
    (["--duration", "-5"], "duration must be from one step (0.1 ms) to 1e"),
    (["--duration", "inf"], "duration must be a finite number, got inf"),
    (["--duration", "nan"], "duration must be a finite number, got nan"),
    (["--seed", "-1"], "seed must be from 0 to 2**63 - 1, got -1"),
    (["--network-seed", "-3"], "network-seed must be from 0 to 2**63 - 1, got -3"),
    (["--out", "/proc/nowhere"], "out: cannot write into '/proc/nowhere'"),
]
TIME_STEP = (["--dt", "0"], "dt must be from 0.01 to 1 ms, got 0.0")
CASES = [
    (command, *case)
    for command, own in REFUSED.items()
    for case in [*own, *REFUSED_BY_ALL, *[TIME_STEP] * (command != "microcircuit2014")]
]


@pytest.mark.parametrize(
    ("command", "arguments", "message"), CASES, ids=[f"{c} {' '.join(a)}" for c, a, _ in CASES]
)
def test_command_refuses(command, arguments, message, capsys):
    assert main([command, "--no-plot", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"evops {command}: {message}"), error
