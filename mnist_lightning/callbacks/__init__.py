"""What happens around training: one artefact or one habit a file."""
