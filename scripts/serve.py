"""Serve a network over HTTP, with a page to draw on: `python scripts/serve.py`; settings in conf/serve.yaml."""

from pathlib import Path

from mnist_lightning.cli import Settings, script


@script("serve")
def main(settings: Settings, run: Path) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from mnist_lightning.service.server import serve

    serve(**settings)


if __name__ == "__main__":
    main()
