import numpy as np
import pytest
from scipy.stats import poisson

from mnist_lightning.data.small import load_sklearn_digits
from mnist_lightning.evaluation.corruptions import KINDS, _zigzags, corrupt, plasma


@pytest.fixture(scope="module")
def digits():
    return load_sklearn_digits()[0][:1100]


def bar(rows=slice(10, 18), columns=slice(12, 16)):
    """One image, white in a rectangle."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[:, rows, columns] = 255
    return image


def centre(image):
    weights = image.astype(float)
    return [(weights * place).sum() / weights.sum() for place in np.mgrid[:28, :28]]


def test_there_are_the_fifteen_of_the_paper():
    assert " ".join(KINDS) == (
        "shot_noise impulse_noise glass_blur motion_blur shear scale rotate brightness translate stripe fog spatter "
        "dotted_line zigzag canny_edges"
    )
    assert all(kind.severity and kind.apply.__doc__ for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_hangs_on_seed_and_place_alone(digits, kind):
    before = digits.copy()
    whole = corrupt(digits, kind)
    assert (whole.dtype, whole.shape) == (np.uint8, digits.shape)
    assert np.array_equal(digits, before)
    assert np.array_equal(corrupt(digits[:7], kind), whole[:7])
    assert np.array_equal(corrupt(digits[:1003], kind)[1000:], whole[1000:1003])  # past the first thousand too
    others = digits[:7].copy()
    others[3] = 0
    assert np.array_equal(corrupt(others, kind)[4:], whole[4:7])  # no image leaks into another
    assert (whole != digits).any(axis=(1, 2)).mean() > 0.99
    if kind not in ("scale", "brightness", "stripe", "canny_edges"):  # these draw nothing
        assert not np.array_equal(corrupt(digits[:7], kind, seed=1), whole[:7])
        alike = corrupt(np.repeat(digits[:1], 20, 0), kind)
        assert (alike[1:] != alike[0]).any()  # each image has a draw of its own


def test_no_images_stay_none():
    assert all(corrupt(np.zeros((0, 28, 28), np.uint8), kind).shape == (0, 28, 28) for kind in ("fog", "rotate"))


@pytest.mark.parametrize("grey", [0, 85, 255])
def test_shot_noise_counts_photons_as_poisson_does(grey):
    drawn = corrupt(np.full((100, 28, 28), grey, np.uint8), "shot_noise")
    values, counts = np.unique(drawn, return_counts=True)
    assert set(values) <= {0, 85, 170, 255}
    rate = 3 * grey / 255
    expected = [*poisson.pmf([0, 1, 2], rate), poisson.sf(2, rate)]
    shares = dict(zip(values.tolist(), counts / drawn.size, strict=True))
    assert [shares.get(value, 0) for value in (0, 85, 170, 255)] == pytest.approx(expected, abs=0.01)


def test_impulse_noise_hits_a_sixth_of_the_pixels_half_white_half_black():
    drawn = corrupt(np.full((100, 28, 28), 100, np.uint8), "impulse_noise")
    assert [(drawn == value).mean() for value in (0, 255, 100)] == pytest.approx([0.085, 0.085, 0.83], abs=0.005)


def test_glass_blur_keeps_the_ink_and_moves_it_by_a_few_pixels():
    drawn = corrupt(np.repeat(bar(), 200, 0), "glass_blur")
    assert drawn.sum() / 200 == pytest.approx(bar().sum(), rel=0.02)
    assert drawn[:, :, 20:].max() == 0  # the blur leaves columns alone, and swaps go left
    assert drawn[:, 10:18, 11].mean() > 20


def test_motion_blur_leaves_a_trail_to_the_left():
    drawn = corrupt(np.repeat(bar(), 200, 0), "motion_blur")
    assert drawn.sum() / 200 == pytest.approx(bar().sum(), rel=0.02)
    down, right = centre(drawn.astype(float).sum(0))
    assert right == pytest.approx(13.5 - 2.0, abs=0.4)  # the mean of half a Gaussian of 3 pixels, turned by up to 45
    assert down == pytest.approx(13.5, abs=0.4)
    assert drawn[:, :, 16:].max() == 0


def test_shear_and_rotation_go_to_either_side():
    line = bar(slice(4, 24), slice(13, 15))
    for kind, sides in (("shear", [-21.3, 21.3]), ("rotate", [-22.9, 22.9])):
        angles = []
        for image in corrupt(np.repeat(line, 40, 0), kind):
            rows, columns = np.nonzero(image > 100)
            angles.append(np.degrees(np.arctan(np.polyfit(rows, columns, 1)[0])))
        angles = np.array(angles)
        assert 5 < (angles < 0).sum() < 35, kind
        assert [angles[angles < 0].mean(), angles[angles > 0].mean()] == pytest.approx(sides, abs=1.5), kind


def test_scale_shrinks_to_seven_tenths_around_the_middle():
    image = corrupt(bar(slice(4, 24), slice(4, 24)), "scale")[0]
    assert image.astype(float).sum() / 255 == pytest.approx((20 * 0.7) ** 2, rel=0.03)
    assert centre(image) == pytest.approx([13.5, 13.5], abs=0.05)


def test_brightness_adds_half_of_white():
    image = np.resize(np.array([0, 51, 200, 255], np.uint8), (1, 28, 28))
    assert corrupt(image, "brightness")[0, 0, :4].tolist() == [128, 178, 255, 255]


def test_translate_moves_by_three_into_each_corner():
    drawn = corrupt(np.repeat(bar(), 60, 0), "translate")
    places = {tuple(np.round(centre(image) - np.array([13.5, 13.5])).astype(int)) for image in drawn}
    assert places == {(-3, -3), (-3, 3), (3, -3), (3, 3)}


def test_stripe_inverts_the_outer_quarters(digits):
    drawn = corrupt(digits, "stripe")
    assert np.array_equal(drawn[:, :, 7:21], digits[:, :, 7:21])
    assert np.array_equal(drawn[:, :, :7], 255 - digits[:, :, :7])
    assert np.array_equal(drawn[:, :, 21:], 255 - digits[:, :, 21:])


def test_fog_leaves_a_quarter_of_the_contrast(digits):
    drawn = corrupt(digits[:300], "fog").astype(float)
    assert drawn.max() <= 255
    ink = digits[:300] > 250
    assert drawn[ink].mean() - drawn[digits[:300] == 0].mean() == pytest.approx(255 / 4, abs=8)


def test_plasma_is_smooth_and_takes_the_whole_range():
    clouds = plasma(np.random.default_rng(0), 400)
    assert clouds.shape == (400, 28, 28)
    assert 0 <= clouds.min() < 0.05
    assert 0.95 < clouds.max() <= 1
    assert clouds.mean() == pytest.approx(0.5, abs=0.03)
    steps = np.abs(np.diff(clouds, axis=2)).mean()
    assert steps < 0.02 < clouds.std()  # neighbours are alike, far places are not
    seams = np.abs(np.diff(clouds, axis=2)).mean(axis=(0, 1))
    assert seams.max() < 2 * np.median(seams)  # no seam where levels were cut


def test_spatter_hides_behind_grey_drops():
    drawn = corrupt(np.full((50, 28, 28), 255, np.uint8), "spatter")
    hidden = drawn < 255
    assert 0.1 < hidden.mean() < 0.4
    assert 63 <= drawn.min() <= 70


def test_lines_have_the_dots_and_corners_of_the_paper():
    black = np.zeros((300, 28, 28), np.uint8)
    dots = corrupt(black, "dotted_line")
    visible = (dots > 0).any(axis=1)
    columns = np.arange(28)
    assert not visible[:, columns % 4 < 2].any()
    assert visible[:, (columns % 4 >= 2) & (columns < 27)].mean() > 0.99
    zigzag = corrupt(black, "zigzag")
    assert not zigzag[:, :, :2].any()
    assert not zigzag[:, :, 26:].any()
    rows = np.arange(28)[:, None]
    heights = (zigzag * rows).sum(axis=1)[:, 2:25] / np.maximum(zigzag.sum(axis=1)[:, 2:25], 1)
    turns = (np.diff(np.sign(np.diff(heights, axis=1)), axis=1) != 0).sum(axis=1)
    assert np.median(turns) >= 5  # up and down, every four pixels


def test_zigzags_add_up_the_ink_of_two_pieces_at_their_corners_as_the_authors_do():
    # The sums are those of the authors' own code, which draws one piece after another.
    zigzags = _zigzags()
    assert zigzags[5, 13].sum() == pytest.approx(42.755, abs=1e-3)  # level, from height 13
    assert zigzags[0, 20].sum() == pytest.approx(44.053, abs=1e-3)  # falls by 5: corners lie between two columns
    assert zigzags[5, 13][15, 4] == 1
    assert zigzags.max() == 1


def test_canny_edges_are_thin_outlines():
    image = corrupt(bar(slice(6, 22), slice(6, 22)), "canny_edges")[0]
    assert set(np.unique(image)) == {0, 255}
    assert not image[9:19, 9:19].any()
    assert image[14].astype(bool).sum() == 2  # one pixel on each side
