"""Structures that a segmentation does not give, derived from those that it does."""
