"""Handwritten-digit recognition on PyTorch Lightning and Hydra.

Importing the package imports nothing heavy: torch, Lightning and OpenCV are loaded by the functions that need them.
"""

__version__ = "0.1.0"
