"""Published networks on evops operators, one package each, and the package that they share.

All have the same shape. `model` holds parameters, state and the time step. `measure` computes rates
and other measures of a run. `report` makes table, JSON file and picture. `cli` is the command
``evops <name>``. ``data/published.json`` holds the published parameters and results.
"""
