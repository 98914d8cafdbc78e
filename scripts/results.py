"""What runs have reached: `python scripts/results.py runs=outputs`; settings in conf/results.yaml."""

from pathlib import Path

from mnist_lightning.cli.script import Settings, script


@script("results", texts=("runs", "where", "compare"))
def main(settings: Settings, run: Path) -> None:
    """Filter, group, compare and export runs."""
    from mnist_lightning.sweeps.results import results

    results(settings)


if __name__ == "__main__":
    main()
