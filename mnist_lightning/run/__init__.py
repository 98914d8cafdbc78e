"""A run folder and what is in it: files, the record, provenance. Knows nothing of torch."""
