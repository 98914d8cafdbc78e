"""What a person drew or scanned -> the 28x28 image the network expects. NumPy and OpenCV, no torch."""
