"""Commands: Hydra outside, plain sentences for what the user got wrong."""
