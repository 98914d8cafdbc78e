"""Serve a network over HTTP, with a page to draw on: `python scripts/serve.py`; settings in conf/serve.yaml."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main("serve")
