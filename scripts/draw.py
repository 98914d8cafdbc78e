"""Draw digits with the mouse and see them read: `python scripts/draw.py`; settings in conf/draw.yaml."""

from pathlib import Path

from mnist_lightning.cli.script import Settings, script


@script("draw")
def main(settings: Settings, run: Path) -> None:
    """Open the window."""
    from mnist_lightning.apps.window import draw

    draw(**settings)


if __name__ == "__main__":
    main()
