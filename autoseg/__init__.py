"""autoseg: a self-configuring framework for segmenting medical and other images."""

__version__ = "0.1.0"
