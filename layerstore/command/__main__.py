"""Runs the command as `python -m layerstore.command`."""

import sys

from layerstore_command import main

if __name__ == "__main__":
    sys.exit(main())
