"""The 29-area macaque model of Joglekar et al. (2018), doi:10.1016/j.neuron.2018.02.031."""
