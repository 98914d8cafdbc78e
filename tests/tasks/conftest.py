import pytest


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of two epochs with all defaults but the small ones: its outputs, and its record."""
    from fixtures_training import train

    folder = tmp_path_factory.mktemp("finished")
    return folder, train(folder)
