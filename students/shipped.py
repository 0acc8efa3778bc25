"""The one-step student of the embedded teacher that travels inside the package; its card is the README beside it."""

from __future__ import annotations

from pathlib import Path

SHIPPED_STUDENT = Path(__file__).parent / "shipped"
"""A folder like any other student's."""
