"""Numbers and pictures about a trained network."""
