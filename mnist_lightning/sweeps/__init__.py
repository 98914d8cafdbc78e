"""Many runs: added up, compared, and the search for good settings."""
