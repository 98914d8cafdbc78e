"""Many runs: told apart, added up, compared."""
