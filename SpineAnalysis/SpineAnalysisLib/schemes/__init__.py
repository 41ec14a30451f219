"""Label maps and segments of other programs as structures of the spine."""

from .apply import LabeledInput, apply, understand
from .name_tables import names_from_table
from .recognize import Recognition, known_schemes, recognize
from .segments import merge_segments
from .tables import INSTANCES, SCHEMES, Scheme, own_value

__all__ = ["INSTANCES", "SCHEMES", "LabeledInput", "Recognition", "Scheme", "apply", "known_schemes", "merge_segments",
           "names_from_table", "own_value", "recognize", "understand"]
