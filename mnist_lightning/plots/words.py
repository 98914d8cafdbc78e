"""Shares and counts as text. Imports nothing, so that programs without a picture can use it."""


def percent(fraction: float) -> str:
    """Format a fraction from 0 to 1 as percent with two decimals, never rounding one below 1 up to 100 %."""
    if 0.99995 <= fraction < 1:
        return ">99.99 %"
    if 0 < fraction < 0.00005:
        return "<0.01 %"
    return f"{100 * fraction:.2f} %" if fraction == fraction else "NaN"


def count(number: int, noun: str) -> str:
    """Write "1 epoch", "1,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
