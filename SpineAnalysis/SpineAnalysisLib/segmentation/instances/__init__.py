"""From what the embedded network says of every voxel to vertebrae and discs that are told apart.

All places are millimeters along the axes of the canonical grid (see :mod:`..network.canonical`): from left to right,
from head to foot, from front to back.
"""
