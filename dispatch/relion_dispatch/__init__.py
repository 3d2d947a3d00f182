"""RELION on any machine: match a command to its job type, size it, render it, submit it."""

from __future__ import annotations

__version__ = "0.1.0"
