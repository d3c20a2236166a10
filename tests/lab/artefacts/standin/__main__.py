"""Entry point of the packed stand-in."""

import sys

from standin.commands import main

sys.exit(main(sys.argv[1:]))
