"""`python -m distsim`."""

import sys

from distsim.cli import main

sys.exit(main())
