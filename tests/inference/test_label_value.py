"""A class name as JSON shows it."""

import pytest

from mnist_lightning.inference.reading import label_value


@pytest.mark.parametrize(
    ("name", "shown"), [("7", 7), ("10", 10), ("a", "a"), ("-1", "-1"), ("²", "²"), ("٣", "٣"), ("1.5", "1.5")]
)
def test_only_a_number_in_ascii_digits_is_a_number(name, shown):
    assert label_value(name) == shown
