"""Code that the networks share: noise, the simulation, options, output, pictures."""
