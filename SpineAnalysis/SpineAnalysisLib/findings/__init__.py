"""What a reader should know first: findings by level, what could explain a pain, and what limits the result."""

from .doubts import doubts
from .levels import LevelFinding, level_findings, sentences
from .symptoms import ROOTS, Explanation, Symptom, explain, symptom_of

__all__ = ["ROOTS", "Explanation", "LevelFinding", "Symptom", "doubts", "explain", "level_findings", "sentences",
           "symptom_of"]
