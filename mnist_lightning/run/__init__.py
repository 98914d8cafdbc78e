"""A run folder and what lies in it: files, the record, provenance. Knows no torch."""
