"""What evops does to the LLVM IR of kernels, on the way to machine code.

The build of the package uses these files where there is no evops yet, as emit.py does. So they
import nothing of it, and one another by names relative to this folder.
"""
