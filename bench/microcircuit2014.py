"""The microcircuit in evops and in NEST, side by side: activity, time and memory, each run in a process of its own.

    python bench/microcircuit2014.py [--nest-python PYTHON] [--case SCALE:DRIVE ...] [--seeds N]

Runs ``evops microcircuit2014`` and, where PYTHON can ``import nest``, the same model in NEST for every case (default 0.1:dc 0.3:dc
0.1:poisson 0.3:poisson 1:poisson; the last is the full model, which takes NEST 15 GB and minutes: --largest-nest 1), and writes
results/microcircuit2014.json: rates, CV of intervals and synchrony per population, seconds to build and per biological second,
peak memory. Both get the same numbers of synapses, weights and compensating currents.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import common
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.microcircuit2014.measure import activity_of_spikes
from evops.networks.microcircuit2014.model import Model
from evops.networks.shared.simulate import Simulator

NEST = Path(__file__).with_name("microcircuit2014_nest.py")


def rounded(values):
    return [None if np.isnan(v) else round(float(v), 3) for v in values]


def evops(case, options, seed, folder):
    command = [sys.executable, "-m", "evops", "microcircuit2014", "--no-plot", "--out", folder]
    command += ["--scale", str(case.scale), "--drive", case.drive, "--seed", str(seed)]
    command += ["--settle", str(options.settle), "--duration", str(options.duration)]
    subprocess.run(command, check=True, capture_output=True)
    content = json.loads((Path(folder) / "microcircuit2014.json").read_text())
    keys = ("rate_hz", "cv", "synchrony", "setup_seconds", "compile_seconds")
    return {k: content[k] for k in (*keys, "seconds_per_biological_second", "peak_memory_mb")}


def in_nest(options, source, spikes):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    command = [options.nest_python, str(NEST), str(source), str(spikes)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


def nest(case, options, seed, folder):
    b = case.base
    poisson = case.background_in_degree * b["background"]["rate_hz"]
    parameters = {
        **{k: b[k] for k in ("neuron", "dt_ms", "weight_relative_std", "delay_relative_std")},
        **{k: b[k] for k in ("v_initial_mean_mv", "v_initial_std_mv")},
        "delay_ms": [b["delay_exc_ms"], b["delay_inh_ms"]],
        "neurons": case.neurons.tolist(),
        "synapses": case.synapses.tolist(),
        "weights": case.weights.tolist(),
        "constant_current": case.constant_current.tolist(),
        "poisson_rate_hz": poisson.tolist() if case.drive == "poisson" else None,
        "background_weight": case.psc / case.scale**0.5,
        "settle_ms": options.settle,
        "duration_ms": options.duration,
        "threads": options.threads,
        "seed": seed,
    }
    source, spikes = Path(folder) / "parameters.json", Path(folder) / "spikes.npz"
    source.write_text(json.dumps(parameters))
    result = in_nest(options, source, spikes)
    with np.load(spikes) as found:
        start, stop = (case.steps(t) for t in (options.settle, options.settle + options.duration))
        a = activity_of_spikes(found["steps"], found["neurons"], case.neurons, case.dt, start, stop)
    measured = {k: rounded(getattr(a, k)) for k in ("rate_hz", "cv", "synchrony")}
    return {**measured, **json.loads(result.stdout.splitlines()[-1])}


def same_network(options):
    """How many spikes evops and NEST agree on when they simulate one network, synapse by synapse."""
    model, n_steps = Model(scale=0.03, drive="dc"), 2000
    # constant currents above the rheobase (375 pA), so that the network does not fall silent
    strong = np.array([400.0, 385.0, 420.0, 390.0, 410.0, 400.0, 380.0, 420.0])
    model.__dict__["constant_current"] = strong
    parameters, state = microcircuit2014.setup(model, 1, 1)
    edges, v = parameters.circuit.edges(), np.asarray(state.v, np.float64).reshape(-1)
    synapses = {
        "pre": model.neuron_of(np.asarray(edges.pre)),
        "post": model.neuron_of(np.asarray(edges.post)),
        "weight": np.asarray(edges.weight, np.float64),
        "delay": np.asarray(edges.delay),
        "v": v[v > microcircuit2014.REST] + model.base["neuron"]["v_rest_mv"],
        "current": np.repeat(strong, model.neurons),
        "steps": n_steps,
        **model.base["neuron"],
    }
    step = partial(microcircuit2014.step, model)
    run = Simulator.compile(step, parameters, state).run(parameters, state, n_steps)
    own = sorted(zip(run.steps.tolist(), model.neuron_of(run.neurons).tolist(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        source, spikes = Path(folder) / "synapses.npz", Path(folder) / "spikes.npz"
        np.savez(source, **synapses)
        in_nest(options, source, spikes)
        with np.load(spikes) as found:
            theirs = sorted(zip(found["steps"].tolist(), found["neurons"].tolist(), strict=True))
    pairs = zip(own, theirs, strict=False)
    equal = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(own), len(theirs)))
    until = own[min(equal, len(own) - 1)][0] * model.dt
    return {
        "spikes": len(own),
        "spikes_in_nest": len(theirs),
        "first_equal": equal,
        "until_ms": until,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nest-python", default=None, help="a Python that can import nest")
    parser.add_argument("--case", nargs="+", default=["0.1:dc", "0.3:dc", "0.1:poisson", "0.3:poisson", "1:poisson"])  # fmt: skip
    parser.add_argument(
        "--same-network", action="store_true", help="one network in both, and nothing else"
    )
    parser.add_argument(
        "--largest-nest", type=float, default=0.5, help="largest scale that NEST runs too"
    )
    parser.add_argument("--settle", type=float, default=200.0)
    parser.add_argument("--duration", type=float, default=1000.0)
    parser.add_argument("--threads", type=int, default=2, help="of NEST")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, with seeds from 1 on")
    parser.add_argument("--name", default="microcircuit2014", help="of the file in results/")
    options = parser.parse_args()
    if options.same_network:
        if options.nest_python is None:
            parser.error("--same-network needs --nest-python")
        return print(json.dumps(same_network(options)))
    simulators = {"evops": evops, "NEST": nest}
    if options.nest_python is None:
        del simulators["NEST"]
    rows = []
    for text in options.case:
        scale, drive = text.split(":")
        case = Model(scale=float(scale), drive=drive)
        for seed in range(1, options.seeds + 1):
            for simulator, run in simulators.items():
                if simulator == "NEST" and case.scale > options.largest_nest:
                    continue
                row = {"simulator": simulator, "scale": case.scale, "drive": drive, "seed": seed}
                row |= {"neurons": int(case.neurons.sum()), "synapses": int(case.synapses.sum())}
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(row | run(case, options, seed, folder))
                print(json.dumps(rows[-1]), flush=True)
    window = {"settle_ms": options.settle, "duration_ms": options.duration}
    names = {"populations": Model().names}
    print(common.write(options.name, common.machine() | window | names | {"rows": rows}))


if __name__ == "__main__":
    main()
