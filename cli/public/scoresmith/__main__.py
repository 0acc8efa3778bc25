"""The command: `scoresmith`, `python -m scoresmith`, or `torchrun -m scoresmith`."""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.exit(main())
