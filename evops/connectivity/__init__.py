"""What is connected: rules and the sampler that decides which synapses exist."""
