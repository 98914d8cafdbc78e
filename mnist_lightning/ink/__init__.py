"""What a person drew or scanned -> the 28x28 image the network expects. NumPy and OpenCV, no torch."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of a picture, pixels; right and bottom exclusive."""
