"""Many runs at once: the search for good settings."""
