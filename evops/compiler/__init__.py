"""Users' Taichi kernels: from Python source to native code that XLA can call."""
