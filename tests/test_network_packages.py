"""The packages of the networks have one shape: what one offers by a name, all offer by that name."""

import argparse
import importlib

import pytest

NETWORKS = ("joglekar2018", "microcircuit2014", "coba2005")
OFFERED = {
    "model": ("Model", "State", "Parameters", "published", "setup", "step"),
    "measure": ("Activity", "activity"),
    "report": ("table", "summary", "draw"),
    "cli": ("NAME", "add", "run"),
}


def part(network, name):
    return importlib.import_module(f"evops.networks.{network}.{name}")


@pytest.mark.parametrize("network", NETWORKS)
def test_packages_have_one_shape(network):
    for name, offered in OFFERED.items():
        module = part(network, name)
        missing = [o for o in offered if not hasattr(module, o)]
        assert not missing, (module, missing)
    assert part(network, "model").published()


@pytest.mark.parametrize("network", NETWORKS)
def test_every_command_has_the_common_options(network):
    parser = argparse.ArgumentParser()
    cli = part(network, "cli")
    cli.add(parser.add_subparsers())
    options = parser.parse_args([network])
    assert cli.NAME == network and options.run is cli.run
    common = {"seed": 1, "network_seed": None, "backend": None, "out": None, "no_plot": False}
    assert {name: getattr(options, name) for name in common} == common


@pytest.mark.parametrize("network", NETWORKS)
def test_every_module_names_its_source(network):
    for name in OFFERED:
        text = part(network, name).__doc__
        assert "Source" in text and ("doi:" in text or "published.json" in text), name
