"""Ways to use a trained network: the drawing window, and the replay of pen strokes through it."""
