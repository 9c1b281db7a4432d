"""The operators of braintaichi and BrainPy, with their names, arguments and matrices.

Sources: BrainPy 2.5 and braintaichi 0.0.5 (operators), M. R. Joglekar et al. (2018), Neuron
98:222-234, doi:10.1016/j.neuron.2018.02.031 (the 29-area model that the multi-area operators were
written for).
"""
