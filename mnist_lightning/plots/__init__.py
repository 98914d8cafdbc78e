"""Pictures: numbers in, a matplotlib `Figure` out; `style.save` writes one. One figure per file."""
