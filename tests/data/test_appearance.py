import pytest
import torch

from mnist_lightning.data import appearance


def ramp(count):
    """Each image rises evenly from black on the left to white on the right."""
    return torch.linspace(0, 1, 28).expand(count, 1, 28, 28)


def half(count):
    """Black on the left, white on the right."""
    return ramp(count).round()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("change", [appearance.random_filter, appearance.random_tone])
def test_a_share_of_the_images_is_changed_and_spans_black_to_white(change):
    images = ramp(1000)
    changed = change(images, 0.3, None)
    hit = (changed - images).abs().amax((1, 2, 3)) > 0
    assert hit.float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(changed.amin((1, 2, 3)), torch.zeros(1000))
    torch.testing.assert_close(changed.amax((1, 2, 3)), torch.ones(1000))


@pytest.mark.parametrize("change", [appearance.random_filter, appearance.random_tone])
def test_some_become_negatives(change):
    changed = change(half(1000), 1.0, None)
    negative = changed[..., :10].mean((1, 2, 3)) > changed[..., 18:].mean((1, 2, 3))
    assert 0.2 < negative.float().mean() < 0.6


def test_a_filter_sees_three_pixels_to_each_side_and_no_further():
    changed = appearance.random_filter(half(200), 1.0, None)
    assert changed[..., :11].diff(dim=3).abs().max() < 1e-5  # the edge lies between columns 13 and 14
    assert changed[..., 17:].diff(dim=3).abs().max() < 1e-5
    assert changed[..., 11:17].diff(dim=3).abs().amax((1, 2, 3)).min() > 0.05
    assert changed.diff(dim=2).abs().max() < 1e-5


def test_a_tone_curve_gives_pixels_of_one_grey_level_one_grey_level_and_need_not_rise():
    images = torch.randint(0, 6, (300, 1, 28, 28)) / 5
    changed = appearance.random_tone(images, 1.0, None)
    levels = torch.stack([torch.where(images == level / 5, changed, torch.nan).flatten(1) for level in range(6)], 1)
    assert (levels.nan_to_num(-1).amax(2) - levels.nan_to_num(2).amin(2)).abs().max() == 0
    steps = levels.nanmean(2).diff(dim=1)
    assert ((steps > 0).any(1) & (steps < 0).any(1)).float().mean() > 0.5


def test_a_wave_is_added_to_half_of_the_images_and_has_one_frequency():
    images = torch.zeros(1000, 1, 28, 28)
    changed = appearance.random_wave(images, 0.5, None)
    hit = changed.amax((1, 2, 3)) > 0
    assert hit.float().mean() == pytest.approx(0.5, abs=0.05)
    waves = changed[hit]
    power = torch.fft.rfft2(waves - waves.mean((2, 3), keepdim=True)).abs().square().flatten(1)
    strongest = power.topk(12, dim=1).values.sum(1) / power.sum(1)
    assert strongest.median() > 0.8


def test_noise_is_added_to_half_of_the_images_and_grows_up_to_its_knob():
    changed = appearance.random_noise(torch.full((1000, 1, 28, 28), 0.5), 0.1, None)
    deviation = changed.std((1, 2, 3))
    assert (deviation == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert deviation.max() == pytest.approx(0.1, abs=0.01)
    assert deviation[deviation > 0].mean() == pytest.approx(0.05, abs=0.005)


def test_an_overlay_lays_pieces_of_the_next_image_over_a_share_of_them():
    images = torch.zeros(2000, 1, 28, 28)
    images[1::2] = 1  # each black image is followed by a white one
    changed = appearance.random_overlay(images, 0.4, None)
    assert torch.equal(changed[1::2], images[1::2])  # nothing gets darker
    covered = (changed[::2] > 0).float().mean((1, 2, 3))
    assert (covered > 0).float().mean() == pytest.approx(0.4, abs=0.05)
    assert covered.max() < 0.45  # about a third of the image at most
    shown = changed[::2].amax((1, 2, 3))
    assert shown[shown > 0].min() >= 0.3
