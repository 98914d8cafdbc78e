from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution

from mnist_lightning.plots import study as study_figures
from mnist_lightning.plots.objective import shown
from mnist_lightning.plots.slices import slices as draw_slices
from mnist_lightning.sweeps.study_report import Report


def lines(figure):
    """label -> (x, y) of what is drawn."""
    return {line.get_label(): line.get_xydata().T for line in figure.axes[0].lines}


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text")))


@pytest.mark.parametrize(("higher", "best"), [(True, [0.5, 0.7, 0.7]), (False, [0.5, 0.5, 0.4])])
def test_the_course_shows_the_best_so_far_and_marks_what_was_pruned(higher, best):
    figure = study_figures.history([0, 1, 2, 5], [0.5, 0.7, 0.9, 0.4], [False, False, True, False], "val_loss", higher)
    drawn = lines(figure)
    x, y = drawn["best so far"]
    assert (list(x), list(y)) == ([0, 1, 5, 5], [*best, best[-1]])
    assert drawn["pruned"].tolist() == [[2], [0.9]]  # and no best one, though it was higher
    assert drawn["finished"].tolist() == [[0, 1, 5], [0.5, 0.7, 0.4]]
    told = "0.7000 in trial 1" if higher else "0.4000 in trial 5"
    assert f"3 finished trials, 1 pruned · best: {told}" in words(figure)


def test_one_hopeless_trial_does_not_set_the_scale():
    values = [0.95, 0.96, 0.1, 0.97, 0.955]
    figure = study_figures.history(range(5), values, [False] * 5, "val_accuracy", True)
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > 0.9
    assert top > 0.97
    assert lines(figure)["worse yet"].tolist() == [[2], [bottom]]


def test_a_search_without_a_finished_trial_says_so():
    assert "no finished trial" in words(study_figures.history([0], [0.5], [True], "val_loss", False))
    assert "no finished trial" in words(study_figures.pareto([], [], [], ("val_accuracy", "parameters")))
    assert "too few trials to tell, or all with the same result" in words(study_figures.importance({}, "val_accuracy"))


@pytest.mark.parametrize(("results", "told"), [((0.99, 0.99, 0.99, 0.99), True), ((0.9, 0.99, 0.98, 0.97), False)])
def test_a_search_whose_trials_are_alike_names_no_setting_that_mattered(results, told):
    study = optuna.create_study()
    for number, result in enumerate(results):
        settings = {"lr": 0.01 * (number + 1), "decay": 0.1 * (4 - number)}
        space = {name: FloatDistribution(0, 1) for name in settings}
        study.add_trial(optuna.create_trial(params=settings, distributions=space, value=result))
    report = Report.__new__(Report)
    report.ledger, report.objectives = SimpleNamespace(study=study), ["val_accuracy"]
    assert ("all with the same result" in words(report._importance(0))) is told


def test_what_mattered_most_is_on_top():
    figure = study_figures.importance({"a": 0.1, "optimizer.lr": 0.7, "b": 0.2}, "val_accuracy")
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.1, 0.2, 0.7]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "optimizer.lr"]
    assert "70 %" in words(figure)


def test_the_front_goes_from_the_smallest_to_the_best():
    points = [(0.9, 1000), (0.97, 90000), (0.95, 5000), (0.9, 8000)]
    figure = study_figures.pareto(points, [1, 2, 0], ["0", "1", "2", "3"], ("val_accuracy", "parameters"))
    drawn = lines(figure)
    assert drawn["best trade"].tolist() == [[1000, 5000, 90000], [0.9, 0.95, 0.97]]
    assert drawn["trial"].shape == (2, 4)
    assert figure.axes[0].get_xscale() == "log"
    assert "3 on the front" in words(figure)


@pytest.mark.parametrize(
    ("objective", "value", "told"),
    [("val_accuracy", 0.98765, "98.77 %"), ("val_loss", 0.123456, "0.1235"), ("parameters", 12345.0, "12,345"),
     ("fit_seconds", 3.21, "3.2 s")],
)  # fmt: skip
def test_a_value_is_told_in_its_unit(objective, value, told):
    assert shown(objective, value) == told


def test_equal_values_are_drawn_too():
    figure = study_figures.history([0, 1], [0.5, 0.5], [False, False], "val_accuracy", True)
    bottom, top = figure.axes[0].get_ylim()
    assert np.isfinite([bottom, top]).all()
    assert bottom < 0.5 < top


def slices(**changes):
    given = {
        "tried": {"optimizer.lr": [0.001, 0.0123456, 0.1, 0.02], "model": ["cnn", "mlp", "cnn", "mlp"]},
        "values": [0.95, 0.96, 0.97, 0.1],
        "pruned": [False, False, True, False],
        "objective": "val_accuracy",
        "higher": True,
        "logarithmic": {"optimizer.lr": True},
    } | changes
    return draw_slices(**given)


def test_each_setting_is_drawn_against_the_objective():
    figure = slices()
    rate, model = figure.axes
    assert (rate.get_xlabel(), model.get_xlabel()) == ("optimizer.lr", "model")
    assert rate.get_xscale() == "log"
    drawn = {line.get_label(): line.get_xydata().tolist() for line in rate.lines}
    assert drawn["finished"] == [[0.001, 0.95], [0.0123456, 0.96]]
    assert drawn["pruned"] == [[0.1, 0.97]]
    assert drawn["best"] == [[0.0123456, 0.96]]  # and not the pruned one, though it was higher
    assert drawn["worse yet"] == [[0.02, rate.get_ylim()[0]]]
    assert {line.get_label(): line.get_xydata().tolist() for line in model.lines}["best"] == [[1, 0.96]]
    assert "3 finished trials, 1 pruned (x) · ▼ worse than shown · star: the best, 96.00 %" in words(figure)
    assert "0.0123" in [label.get_text() for label in rate.get_xticklabels()]


def test_a_setting_is_logarithmic_where_the_search_drew_it_by_factors():
    assert slices(logarithmic={"optimizer.lr": False}).axes[0].get_xscale() == "linear"
    assert slices(logarithmic=None).axes[0].get_xscale() == "log"  # by its values


def test_slices_of_a_lower_objective_and_of_nothing():
    figure = slices(objective="val_loss", higher=False)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert drawn["best"] == [[0.02, 0.1]]
    assert "▲ worse than shown" in words(slices(objective="val_loss", higher=False, values=[0.1, 0.11, 0.12, 5.0]))
    assert "worse than shown" not in words(slices(values=[0.95] * 4))
    assert "no finished trial" in words(slices(pruned=[True] * 4))
    assert "no finished trial" in words(slices(tried={}, values=[], pruned=[]))


def test_the_names_on_the_front_do_not_cover_each_other():
    points = [(0.9 + 0.001 * n, 1000 * 1.05**n) for n in range(40)]
    names = [f"{n + 100}" for n in range(40)]
    figure = study_figures.pareto(points, range(40), names, ("val_accuracy", "parameters"))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 5
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])
    assert "139" in [text.get_text() for text in figure.axes[0].texts]
