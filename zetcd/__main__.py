"""Responsible for `python -m zetcd`."""

from zetcd.cli import main

if __name__ == "__main__":
    main()
