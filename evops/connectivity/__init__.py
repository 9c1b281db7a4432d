"""Connectivity: rules, laws, delays, and the sampler that decides which synapses exist."""
