"""`python -m autoseg` is the umbrella command."""

import sys

from autoseg.commands.umbrella import main

sys.exit(main())
