"""What structures are called and coded in the world outside: SNOMED CT, Slicer's terminology entries, names, colors."""

from .codes import Code, CodedStructure, code_of, structure_from_codes
from .colors import color_of
from .entries import structure_from_entry, terminology_entry
from .names import structure_from_name

__all__ = ["Code", "CodedStructure", "code_of", "color_of", "structure_from_codes", "structure_from_entry",
           "structure_from_name", "terminology_entry"]
