"""A trained network as a REST service."""
