"""What runs beside the tree: only the standard library, torch and, for kernels, Triton.

The parent copies this package into a worker's import path, alone; nothing here
may import the parent's modules or any other dependency (a test holds it to that).
"""
