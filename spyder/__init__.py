"""Spyder: a distributed web crawler that loses nothing, for people who program in Python."""

__version__ = "0.1.0"

__all__ = ["__version__"]
