"""Many runs: summarised, compared, and the search for good settings."""
