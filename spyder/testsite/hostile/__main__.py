"""Writes the tables of ``docs/hostile.md``: ``python -m spyder.testsite.hostile``."""

import sys

from spyder.testsite.hostile import catalogue

sys.stdout.write(catalogue.table())
