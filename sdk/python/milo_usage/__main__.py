"""`python -m milo_usage`."""

import sys

from milo_usage.cli import main

sys.exit(main())
