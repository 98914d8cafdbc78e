"""Text in pictures, whatever the text."""

import numpy as np
import pytest

from mnist_lightning.apps.text import drawable, text_width, write


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\0", "\x1b[2J", "\uffff"])
def test_text_from_a_strangers_file_is_drawn_without_a_crash(text):
    image = np.zeros((40, 60, 3), np.uint8)
    write(image, f"7 {text}", (2, 30), 20, (255, 255, 255))
    assert image.any()
    assert text_width(text, 20) >= 0


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert drawable("a\ud800b") == "a?b"
    assert drawable("Zoë 👩‍🎓 李") == "Zoë 👩‍🎓 李"
