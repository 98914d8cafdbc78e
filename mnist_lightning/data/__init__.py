"""Which digits, how they are split, batched and augmented."""
