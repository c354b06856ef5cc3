"""The commands of ``python -m threecommas_async``."""
