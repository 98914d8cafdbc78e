"""The types of settings: what a value may be, as annotations that pydantic checks.

A class or a command names one of these in its signature, which is the only place of an argument's type and range.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

LARGEST = 2**31 - 1
"""Largest whole number that a setting may be: more fits no library's integers, and no machine."""

Count = Annotated[int, Ge(0), Le(LARGEST)]
"""A whole number, 0 or more."""
PositiveInt = Annotated[int, Ge(1), Le(LARGEST)]
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Lt(1)]
"""A fraction from 0 to below 1."""
Probability = Annotated[float, Ge(0), Le(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
"""A fraction above 0, at most 1."""
InnerFraction = Annotated[float, Gt(0), Lt(1)]
Degrees = Annotated[float, Ge(0), Le(180)]
Slant = Annotated[float, Ge(0), Lt(90)]
Text = Annotated[str, Len(1)]
"""A text that is not empty."""
Names = Annotated[list[Text], Len(1)]
Threads = Annotated[int, Ge(1), Le(4096)]
Port = Annotated[int, Ge(0), Le(65535)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
Monitor = Literal["val_loss", "val_accuracy", "last"]
Treatment = Literal["keep", "drop", "soften"]
"""What happens to training images whose labels are likely wrong."""
Metric = Literal["val_loss", "val_accuracy", "train_loss"]
Interval = Literal["step", "epoch"]
Part = dict[str, Any]
"""A mapping with a `_target_`, from which Hydra builds an object."""
