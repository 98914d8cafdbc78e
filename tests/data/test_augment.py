import math
import time

import pytest
import torch
from torch.nn import functional as F

from mnist_lightning.data.augment import Augment
from mnist_lightning.errors import UserError

ALL = {
    "degrees": 10.0,
    "translate": 2.0,
    "scale": (0.9, 1.1),
    "shear": 5.0,
    "elastic": 1.0,
    "erase": 0.5,
    "stroke": 0.5,
    "overlay": 0.5,
    "filter": 0.5,
    "tone": 0.5,
    "wave": 0.5,
    "noise": 0.3,
}


def bar(count=64):
    """An upright bar in the middle of each image, 20 pixels long, 4 wide."""
    images = torch.zeros(count, 1, 28, 28)
    images[:, :, 4:24, 12:16] = 1.0
    return images


def centre(images):
    """Centre of mass of each image as (row, column), in pixels from the middle: [N, 2]."""
    place = torch.arange(28) - 13.5
    mass = images.sum((1, 2, 3))
    rows = (images.sum((1, 3)) * place).sum(1) / mass
    columns = (images.sum((1, 2)) * place).sum(1) / mass
    return torch.stack([rows, columns], 1)


def lean(images):
    """Angle of each image's long axis from the upright, in degrees, out of its second moments: [N]."""
    place = torch.arange(28) - 13.5
    at = centre(images)
    rows, columns = place.view(1, 28, 1) - at[:, :1, None], place.view(1, 1, 28) - at[:, 1:, None]
    ink = images[:, 0]
    return torch.rad2deg(
        torch.atan2(2 * (ink * rows * columns).sum((1, 2)), (ink * (rows**2 - columns**2)).sum((1, 2))) / 2
    )


def test_without_knobs_the_images_come_back_as_they_are():
    images = torch.rand(4, 1, 28, 28)
    before = torch.get_rng_state()
    assert Augment()(images) is images
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("knob", ALL)
def test_each_knob_alone_changes_images_and_keeps_shape_and_range(knob):
    torch.manual_seed(0)
    images = torch.nn.functional.avg_pool2d(bar(), 3, 1, 1)  # with the grey edges that a curve of grey levels moves
    kept = images.clone()
    changed = Augment(**{knob: ALL[knob]}, erase_size=(0.3, 0.6))(images)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert ((changed - images).abs().amax((1, 2, 3)) > 0.01).float().mean() > 0.4
    assert torch.equal(images, kept), "the caller's images were written to"


@pytest.mark.parametrize("knob", ALL)
def test_each_image_gets_a_draw_of_its_own(knob):
    torch.manual_seed(0)
    changed = Augment(**{knob: ALL[knob]})(torch.nn.functional.avg_pool2d(bar(16), 3, 1, 1))
    assert len(torch.unique(changed.flatten(1), dim=0)) >= 6  # some knobs leave half of them alone


def test_the_same_seed_draws_the_same_and_a_generator_leaves_the_global_one_alone():
    images = torch.rand(8, 1, 28, 28)
    torch.manual_seed(1)
    first = Augment(**ALL)(images)
    torch.manual_seed(1)
    assert torch.equal(Augment(**ALL)(images), first)

    before = torch.get_rng_state()
    own = [Augment(**ALL, generator=torch.Generator().manual_seed(1))(images) for _ in range(2)]
    assert torch.equal(own[0], own[1])
    assert torch.equal(own[0], first)
    assert torch.equal(torch.get_rng_state(), before)


def test_translate_moves_up_to_so_many_pixels_either_way_along_both_axes():
    torch.manual_seed(0)
    moved = centre(Augment(translate=2.0)(bar(512)))
    assert moved.abs().max() <= 2.001
    assert (moved.amax(0) > 1.9).all()
    assert (moved.amin(0) < -1.9).all()
    assert moved.mean(0).abs().max() < 0.2


def test_degrees_turn_up_to_so_far_either_way_about_the_middle():
    torch.manual_seed(0)
    turned = Augment(degrees=15.0)(bar(512))
    assert centre(turned).abs().max() < 0.05
    assert lean(turned).abs().max() == pytest.approx(15, abs=0.5)
    assert lean(turned).mean().abs() < 1.5


def test_scale_sizes_by_factors_of_length():
    torch.manual_seed(0)
    ratio = Augment(scale=(0.8, 1.25))(bar(512)).sum((1, 2, 3)) / bar(1).sum()
    assert ratio.min() == pytest.approx(0.8**2, rel=0.03)
    assert ratio.max() == pytest.approx(1.25**2, rel=0.03)
    larger = Augment(scale=(1.1, 1.1))(bar(1)).sum() / bar(1).sum()
    assert larger == pytest.approx(1.21, rel=0.02)


def test_shear_slants_an_upright_bar_and_leaves_its_rows_in_place():
    torch.manual_seed(0)
    slanted = Augment(shear=20.0)(bar(512))
    torch.testing.assert_close(slanted.sum((1, 3)), bar(512).sum((1, 3)), atol=0.05, rtol=0.0)
    assert lean(slanted).abs().max() == pytest.approx(20, abs=1.5)


def test_affine_draws_agree_with_torch_s_own_affine_grid():
    augment = Augment(degrees=20.0, translate=3.0, generator=torch.Generator().manual_seed(3))
    images = torch.rand(5, 1, 28, 28)
    changed = augment(images)
    draw = torch.empty(5, 5).uniform_(-1, 1, generator=torch.Generator().manual_seed(3))
    turn, x, y = draw[0] * math.radians(20), draw[3] * 6 / 28, draw[4] * 6 / 28
    theta = torch.stack([turn.cos(), -turn.sin(), x, turn.sin(), turn.cos(), y], 1).view(5, 2, 3)
    expected = F.grid_sample(images, F.affine_grid(theta, [5, 1, 28, 28], align_corners=False), align_corners=False)
    torch.testing.assert_close(changed, expected, atol=1e-5, rtol=0.0)


def test_elastic_bends_smoothly_and_more_with_a_larger_knob():
    def moves(amount):
        torch.manual_seed(0)
        grid = Augment(elastic=amount)._grid(torch.zeros(256, 1, 28, 28))
        still = Augment(translate=1e-9)._grid(torch.zeros(1, 1, 28, 28))
        return (grid - still) * 14  # in pixels

    assert moves(1.0).std().item() == pytest.approx(2 * moves(0.5).std().item(), rel=0.01)
    assert 0.5 < moves(1.0).std() < 1.0  # between the nodes the displacement averages out somewhat
    assert moves(1.0).diff(dim=2).std() < 0.4 * moves(1.0).std()


def test_erase_blackens_one_rectangle_in_so_many_of_the_images():
    torch.manual_seed(0)
    white = torch.ones(2000, 1, 28, 28)
    erased = Augment(erase=0.3, erase_size=(0.25, 0.5))(white)
    assert set(erased.unique().tolist()) == {0.0, 1.0}
    hit = erased.amin((1, 2, 3)) == 0
    assert hit.float().mean() == pytest.approx(0.3, abs=0.04)
    hole = erased[hit][:, 0] == 0
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    assert torch.equal(hole.sum((1, 2)), rows * columns)  # a full rectangle
    for side in (rows, columns):
        assert 6 <= side.min() <= 8
        assert 13 <= side.max() <= 15


def test_erase_shows_a_grey_level_or_the_same_place_in_another_image():
    images = torch.arange(8).view(8, 1, 1, 1).expand(8, 1, 28, 28) / 10
    torch.manual_seed(0)
    grey = Augment(erase=1.0, erase_with="grey")(images)
    filled = [image[image != before].unique() for image, before in zip(grey, images, strict=True)]
    assert [len(levels) for levels in filled] == [1] * 8
    assert len(torch.cat(filled).unique()) == 8
    other = Augment(erase=1.0, erase_with="image")(images)
    for number, image in enumerate(other):
        torch.testing.assert_close(image.unique(), torch.tensor(sorted({number, (number - 1) % 8})) / 10)


def test_what_the_rectangle_shows_leaves_its_place_alone():
    holes = []
    for fill in ("black", "image"):
        erased = Augment(erase=0.5, erase_with=fill, generator=torch.Generator().manual_seed(5))
        holes.append(erased(torch.arange(1.0, 65.0).view(64, 1, 1, 1).expand(64, 1, 28, 28)))
    assert torch.equal(holes[0] == 0, holes[1] != torch.arange(1.0, 65.0).view(64, 1, 1, 1))


def test_stroke_thickens_and_thins_by_up_to_one_pixel_a_side():
    torch.manual_seed(0)
    changed = Augment(stroke=1.0)(bar(1024))
    ink = changed.sum((1, 2, 3))
    assert ink.max() == pytest.approx(22 * 6, rel=0.02)
    assert ink.min() == pytest.approx(18 * 2, rel=0.1)
    thick = changed[ink.argmax(), 0]
    assert thick[13, 11] > 0.98
    assert thick[13, 10] == 0


def test_a_batch_of_another_size_follows_without_a_new_object():
    augment = Augment(**ALL)
    assert augment(torch.rand(3, 1, 28, 28)).shape == (3, 1, 28, 28)
    assert augment(torch.rand(2, 1, 20, 24)).shape == (2, 1, 20, 24)


def test_takes_far_less_time_than_an_image_at_a_time():
    images = torch.rand(128, 1, 28, 28)
    augment = Augment(degrees=10.0, translate=2.0, scale=(0.9, 1.1), shear=5.0)

    def fastest(work):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    augment(images)
    whole = fastest(lambda: augment(images))
    singly = fastest(lambda: [augment(image) for image in images.split(1)])
    assert whole < singly / 3


@pytest.mark.parametrize(
    "knobs",
    [
        {"degrees": -1},
        {"translate": -0.5},
        {"shear": 90},
        {"elastic": -1},
        {"elastic_cells": 0},
        {"scale": (1.1, 0.9)},
        {"scale": (0, 1)},
        {"scale": (1.0,)},
        {"erase": 1.5},
        {"erase_size": (0.5, 0.2)},
        {"erase_with": "white"},
        {"filter": 1.1},
        {"tone": -0.1},
        {"wave": -1},
        {"noise": -0.2},
        {"stroke": -0.1},
    ],
)
def test_a_knob_out_of_its_range_is_named(knobs):
    with pytest.raises(UserError, match=f"augment.{next(iter(knobs))}="):
        Augment(**knobs)


def test_clean_images_keep_their_look():
    images = torch.ones(2000, 1, 28, 28)
    changed = Augment(erase=1.0, clean=0.3)(images)
    same = (changed == images).flatten(1).all(1).float().mean()
    assert same == pytest.approx(0.3, abs=0.04)
    assert torch.equal(Augment(tone=1.0, noise=0.5, erase=1.0, clean=1.0)(images), images)
