"""Test-only stand-in for what Slicer's application adds to its core libraries."""
