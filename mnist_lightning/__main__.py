"""`python -m mnist_lightning <command> [key=value ...]`."""

from mnist_lightning.cli.main import main

if __name__ == "__main__":
    main()
