"""A painful dermatome, and what could explain it."""

import html
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from ..findings import ROOTS, Explanation
from ..mrml.memory import place

if TYPE_CHECKING:
    from .panel import Panel

_SIDES = {"left": _("left"), "right": _("right"), "both": _("both sides")}
_SHOWN = 3


class SymptomRow:
    """Two choices and a line below; a click on a place goes there.  Nothing is measured again for it."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        ui = self._ui
        ui.symptomRootSelector.addItem(_("none"), "")
        for root in ROOTS:
            ui.symptomRootSelector.addItem(root, root)
        for side, text in _SIDES.items():
            ui.symptomSideSelector.addItem(text, side)
        ui.symptomRootSelector.connect("currentIndexChanged(int)", self._chosen)
        ui.symptomSideSelector.connect("currentIndexChanged(int)", self._chosen)
        ui.symptomNote.connect("linkActivated(QString)", lambda link: panel.go_to(place(link)))

    def update(self) -> None:
        chosen, ui = self._session.parameters, self._ui
        root, _space, side = (chosen.symptom if chosen is not None else "").partition(" ")
        for box, data in ((ui.symptomRootSelector, root), (ui.symptomSideSelector, side)):
            before = box.blockSignals(True)
            box.currentIndex = max(box.findData(data), 0)
            box.blockSignals(before)
        ui.symptomSideSelector.enabled = bool(root)
        found = self._session.explanations()
        ui.symptomNote.visible = bool(root) and self._session.memory is not None
        ui.symptomNote.text = _note(found)
        ui.symptomNote.toolTip = "\n".join(each.sentence for each in found)

    def _chosen(self, _index: int) -> None:
        if self._session.parameters is not None:
            root, side = self._ui.symptomRootSelector.currentData, self._ui.symptomSideSelector.currentData
            self._session.parameters.symptom = f"{root} {side}" if root else ""
            self._session.keep_explanations()


def _note(found: tuple[Explanation, ...]) -> str:
    if not found:
        return _("No level that could explain it is in view.")
    supported = [each for each in found if each.supported]
    if not supported:
        return _("Nothing that was measured explains it; {places} are where it could come from.").format(
            places=", ".join(_linked(each) for each in found[:_SHOWN]))
    lines = [f"{_linked(each)}: {html.escape('; '.join(each.evidence))}" for each in supported[:_SHOWN]]
    hidden = len(supported) - _SHOWN
    return "<br>".join(lines + ([_("... and {count} more, in the tip.").format(count=hidden)] if hidden > 0 else []))


def _linked(explanation: Explanation) -> str:
    return f'<a href="{explanation.level}">{html.escape(explanation.place)}</a>'
