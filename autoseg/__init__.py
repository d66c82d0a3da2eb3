"""autoseg: a self-configuring framework for segmenting medical and other images."""

import logging

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # a script that asks for nothing is told nothing
