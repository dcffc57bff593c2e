"""Builds the package by maturin, on Linux only. Elsewhere, installation ends with the reason."""

import sys

if not sys.platform.startswith("linux"):
    raise SystemExit(
        "shmlock (native) is for Linux: it needs futexes and byte locks of open file descriptions. "
        f"This is {sys.platform}. The package shmlock==5.0.1 from PyPI runs here."
    )

from maturin import *  # noqa: F403
