"""The classes of this project."""
