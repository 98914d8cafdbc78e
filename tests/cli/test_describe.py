from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Field

from mnist_lightning.arguments import Foreign
from mnist_lightning.cli.describe import described
from mnist_lightning.types import Degrees, Fraction, InnerFraction, Names, Positive, PositiveInt, Probability, Share


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (bool, "true or false"),
        (PositiveInt | None, "a whole number, 1 or more, or null"),
        (Annotated[int, Field(ge=4, le=60)], "a whole number from 4 to 60"),
        (Annotated[int, Gt(2), Lt(5)], "a whole number above 2 and below 5"),
        (Annotated[float, Le(3)], "a number at most 3"),
        (Annotated[float, Lt(3)], "a number below 3"),
        (Annotated[float, Ge(0), Le(0)], "0"),
        (Positive, "a number above 0"),
        (Share, "a number from 0 to below 1"),
        (Probability, "a number from 0 to 1"),
        (Fraction, "a number above 0 and at most 1"),
        (InnerFraction, "a number above 0 and below 1"),
        (Degrees, "a number from 0 to 180"),
        (Literal["a", "b"], "one of a, b"),
        (Literal["auto"] | PositiveInt, "auto, or a whole number, 1 or more"),
        (Names, "a list of 1 or more entries, each a text that is not empty"),
        (Annotated[Sequence[Positive], Len(2, 2)], "a list of 2 entries, each a number above 0"),
        (dict[str, Any], "a mapping"),
        (Foreign | None, "a part with a _target_, or null"),
        (Any, ""),
        (None, ""),
        (Callable[[int], int], ""),
        (int | Any, ""),
    ],
)
def test_what_an_annotation_allows_is_said_in_words(annotation, words):
    assert described(annotation) == words
