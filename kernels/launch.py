"""Sizes of launches: the one home of what GPU kernels and their C++ handlers must agree on.

Plain numbers: `build_gpu.py` writes them for C++, and reads no Taichi for that.
"""

# Threads whose lanes draw one row side by side.
WARP = 32
# Threads of a kernel's loop. A launch may have fewer, each of which then does the work of several.
WORKERS = 1 << 18
# Threads of a block, as Taichi compiles a loop that says nothing else.
THREADS = 128
# Threads that share the sums of a tile of targets, and the bytes of those sums: three such blocks
# and their registers fit a multiprocessor of compute capability 7.0.
TILE_THREADS, TILE_BYTES = 512, 1 << 15
