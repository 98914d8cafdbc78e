"""Write a trained network as a file for other programs: `python scripts/export.py`; settings in conf/export.yaml."""

from pathlib import Path

from mnist_lightning.cli import Settings, script


@script("export")
def main(settings: Settings, run: Path) -> None:
    """Write the file."""
    from mnist_lightning.export.command import export

    export(**settings)


if __name__ == "__main__":
    main()
