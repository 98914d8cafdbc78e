"""What an override is about, however it is typed."""

import pytest

from mnist_lightning.cli.overrides import is_in, key_of


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=3", "seed"),
        ("+seed=3", "seed"),
        ("++data.fold=1", "data.fold"),
        ("~callbacks.loss_graph", "callbacks.loss_graph"),
        ("~logger=csv", "logger"),
        ("model@teacher=cnn", "model"),
        ("+model@teacher.network=cnn", "model"),
        ("hydra/launcher=joblib", "hydra/launcher"),
        ("name='a=b@c'", "name"),
        ("-m", "-m"),
    ],
)
def test_the_key_is_without_signs_package_and_value(override, key):
    assert key_of(override) == key


def test_a_key_is_in_its_section_and_not_in_one_that_is_called_alike():
    assert is_in("logger", "logger")
    assert is_in("logger.csv.name", "allow", "logger")
    assert not is_in("loggers.csv", "logger")
    assert not is_in("logger", "logger.csv")
