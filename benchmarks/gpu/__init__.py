"""The sections of `gpu_check.py`: each a module whose `checks` measures and judges, whatever becomes of the others."""
