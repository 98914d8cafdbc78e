"""One task per command."""
