"""A trained network as a function."""
