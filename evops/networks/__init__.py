"""Published networks on evops operators, one package each, and the package that they share.

All have the same shape. `model` holds parameters, state and the time step; `measure` what a run
shows. `report` makes the table, the JSON file and the picture. `cli` is the command
``evops <name>``. ``data/published.json`` holds the published parameters and results.
"""
