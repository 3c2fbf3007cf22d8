"""``python -m spyder``: the same as the ``spyder`` command."""

from spyder.cli import main

if __name__ == "__main__":
    main()
