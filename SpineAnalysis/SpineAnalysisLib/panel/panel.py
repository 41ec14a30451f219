"""The panel as a whole: its steps, what runs, and where on the spine people are."""

import html
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..anatomy import Level, Segment
from ..errors import Cancelled, InputError
from ..geometry.frames import Frame
from ..measurements.record import Measurement
from ..mrml.focus import is_cross_section, show_default, show_only
from ..mrml.runs import AUTO, Choices, Outcome, finish, request, work
from ..mrml.views import show_spine
from ..mrml.volumes import scan_node
from ..progress import part
from .label import LabelStep
from .measure import MeasureStep
from .report import ReportStep
from .scan import ScanStep
from .segment import SegmentStep
from .session import MEASURED_ROLE, SEGMENTATION, Session
from .views import SpineViews
from .work import beside

_COMPUTED = 0.8
"""Share of the progress bar that the work beside the scene takes; the rest is for adding nodes."""


class Panel:
    """:param ui: the widgets of the .ui file.

    :param logic: the module's logic.
    """

    SCAN, SEGMENT, LABEL, MEASURE, REPORT = range(5)

    def __init__(self, ui: Any, logic: Any, tutorial: str) -> None:
        self.ui, self.logic = ui, logic
        self.session = Session()
        self.busy = False
        self._canceled = False
        self._pending = False
        self._views = SpineViews()
        self._entered = False
        self.steps = (ScanStep(self), SegmentStep(self), LabelStep(self), MeasureStep(self), ReportStep(self))
        ui.helpLabel.text = _('<a href="{tutorial}">Tutorial</a> · Not a medical device: for research only.').format(
            tutorial=tutorial)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        ui.levelSlider.connect("valueChanged(int)", self._slid)
        ui.levelUpButton.connect("clicked(bool)", lambda: self.walk(-1))
        ui.levelDownButton.connect("clicked(bool)", lambda: self.walk(1))
        ui.plotSelector.connect("currentIndexChanged(int)", self._plot_chosen)
        self._shortcuts = [self._shortcut("Up", -1), self._shortcut("Down", 1)]
        self.say("")
        self._show_progress(None)

    def _shortcut(self, key: str, steps: int) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self.ui.levelSlider)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", lambda: self.walk(steps))
        return shortcut

    # ---- life

    def bind(self, parameters: Any | None) -> None:
        """Show another analysis, or none."""
        self.cancel()
        self._end_focus()
        self.session.bind(parameters)
        self.update()
        self._arrange()

    def enter(self) -> None:
        self._entered = True
        self._arrange()

    def leave(self) -> None:
        """Give the user's layout and all measurements back."""
        self._end_focus()
        self._entered = False
        self._views.restore()

    def close_scene(self) -> None:
        """The scene is about to be emptied."""
        self.cancel()
        self._views.restore()
        self.session.forget()
        self.update()

    def update_soon(self) -> None:
        """Update once, when the current event is over."""
        if not self._pending:
            self._pending = True
            qt.QTimer.singleShot(0, self._update_now)

    def _update_now(self) -> None:
        if self._pending:
            self.update()

    def update(self) -> None:
        """Show the parameter node and what the scene remembers."""
        self._pending = False
        if self.session.parameters is not None and not self.busy and self.session.outdated():
            self.session.reload()
        for each in self.steps:
            each.update()
        self._update_walk()
        self._update_plots()
        if self.session.parameters is not None:
            self._arrange()

    def turn_to(self, index: int) -> None:
        """Turn to a step."""
        self.ui.stepTabs.currentIndex = index

    def say(self, text: str, error: bool = False) -> None:
        """The line below the steps.

        :param text: HTML.
        """
        self.ui.statusLabel.text = f'<span style="color:#d04040">{text}</span>' if error else text
        self.ui.statusLabel.visible = bool(text)

    # ---- runs

    def run(self, button: Any, again: bool = False) -> None:
        """Analyze; the button cancels meanwhile.

        :param again: what was segmented already, whatever engine is chosen.
        """
        if self.busy:
            self.cancel()
            return
        with slicer.util.tryWithErrorDisplay(_("The spine could not be analyzed.")):
            try:
                self._run(button, again)
            except Cancelled:
                self.say(_("Canceled; the scene is as before."))
            except InputError as error:
                self.say(html.escape(str(error)), error=True)
            else:
                if not again:
                    self.turn_to(self.LABEL if self._in_doubt() else self.MEASURE)

    def measure_again(self) -> None:
        """Make the analysis anew from its segmentation in the scene.

        :raises InputError: where that is gone.
        """
        self._run(self.ui.measureButton, again=True)

    def cancel(self) -> None:
        """Cancel what runs; it ends at its next step."""
        self._canceled = True

    def _run(self, button: Any, again: bool) -> None:
        parameters = self.session.parameters
        title = button.text
        self._set_busy(button, True)
        try:
            self._end_focus()
            segmentation = self._segmentation(again)
            choices = self.session.choices()
            asked = request(self.session.volume, segmentation, choices, self.session.further())
            outcome = beside(lambda progress: work(asked, progress), part(self._progress, 0.0, _COMPUTED))
            self._finish(parameters, outcome, choices, segmentation)
        finally:
            button.text = title
            self._set_busy(button, False)

    def _segmentation(self, again: bool) -> Any | None:
        """What to analyze: what was chosen, or once more what was made of the scan."""
        if again and self.session.input_segmentation() is None:
            return self.session.node("segmentation")
        return self.session.input_segmentation()

    def _finish(self, parameters: Any, outcome: Outcome, choices: Choices, segmentation: Any | None) -> None:
        """Add the outcome to the scene, unless what it belongs to is gone."""
        scene, volume = slicer.mrmlScene, self.session.volume
        if parameters.parameterNode.GetScene() is not scene or self.session.parameters is not parameters:
            raise Cancelled("The analysis was closed")
        own = segmentation is None or segmentation is self.session.node("segmentation")
        source = volume or segmentation
        if not parameters.resultName:
            parameters.resultName = self.session.new_name(
                _("Spine analysis: {node}").format(node=source.GetName() if source is not None else ""))
        nodes = finish(outcome, scene, parameters.resultName, volume, self.session.anchors,
                       part(self._progress, _COMPUTED, 1.0), edited=segmentation)
        edited = self.session.memory is not None and parameters.findings != "\n".join(self.session.memory.findings)
        with slicer.util.NodeModify(parameters.parameterNode):
            if own:
                parameters.inputSegmentation, parameters.source = nodes.segmentation, SEGMENTATION
                parameters.scheme = AUTO
            if not edited:
                parameters.findings = "\n".join(outcome.analysis.findings)
            parameters.parameterNode.SetNodeReferenceID(MEASURED_ROLE, volume.GetID() if volume is not None else None)
            self.session.keep(outcome)
        if segmentation is not None and not own:
            segmentation.SetDisplayVisibility(False) if segmentation.IsA("vtkMRMLDisplayableNode") else None
        told = _("{count} measurements at {levels} vertebrae.").format(
            count=len(outcome.analysis.measurements), levels=len(outcome.analysis.spine.vertebrae))
        self.say(told if not edited else _("{told} The findings are still as you edited them.").format(told=told))
        self._first_look(nodes.image)

    def _in_doubt(self) -> bool:
        names = self.session.memory.names if self.session.memory is not None else ()
        return any(name.provisional or (name.probability is not None and name.probability < 0.9) for name in names)

    def _set_busy(self, button: Any, busy: bool) -> None:
        self.busy, self._canceled = busy, False
        pages = (self.ui.scanPage, self.ui.segmentPage, self.ui.labelPage, self.ui.measurePage, self.ui.reportPage)
        for page in pages:
            page.enabled = not busy or page.isAncestorOf(button)
        self.ui.parameterSelector.enabled = not busy
        if busy:
            button.text = _("Cancel")
            self.say("")
        self._show_progress(0.0 if busy else None)
        self.update()
        button.enabled = True

    def _progress(self, fraction: float, message: str) -> bool:
        self._show_progress(fraction, message)
        slicer.app.processEvents()
        return not self._canceled

    def _show_progress(self, fraction: float | None, message: str = "") -> None:
        bar = self.ui.progressBar
        bar.visible = self.ui.cancelButton.visible = fraction is not None
        if fraction is not None:
            bar.value = round(100 * fraction)
            bar.format = f"{message} %p %" if message else "%p %"

    # ---- where people are

    def go_to(self, level: Level | Segment | None) -> None:
        """Show a level in all views."""
        s = self.session.walk.s_of(level) if self.session.walk is not None else None
        if s is not None:
            self._end_focus()
            self._move(s)

    def walk(self, steps: int) -> None:
        """Go some levels down (or, negative, up)."""
        walk = self.session.walk
        if walk is None or not walk.stops:
            return
        here = min(range(len(walk.stops)), key=lambda i: abs(walk.stops[i].s - self.session.s))
        self.go_to(walk.stops[min(max(here + steps, 0), len(walk.stops) - 1)].level)

    def look_at(self, record: Measurement) -> None:
        """Show a measurement's own plane, and its geometry alone."""
        session, walk = self.session, self.session.walk
        if walk is None:
            return
        if record is not session.record:
            session.record = record
            show_only(slicer.mrmlScene, session.name, record)
        plane = record.geometry.frame if record.geometry is not None else None
        if record.geometry is None or not len(record.geometry.points_RAS):
            s = walk.s_of(record.level)
        else:
            s = walk.s_at(plane.origin if plane is not None else record.geometry.points_RAS.mean(axis=0))
        if s is not None:
            self._move(s, plane)
            self._views.show_across(scan_node(slicer.mrmlScene, session.name, record.scan) or session.volume)

    def _move(self, s: float, plane: Frame | None = None) -> None:
        """Point the views at a place of the canal, or at a plane there."""
        walk = self.session.walk
        if walk is None:
            return
        self.session.s = s
        across, along = walk.frame(s), None
        if plane is not None and is_cross_section(plane, across):
            across = plane
        elif plane is not None:
            along = plane
        self._views.go(walk, across, along)
        self._update_walk()
        if self.session.level is not None:
            self.session.parameters.level = str(self.session.level)
        for each in self.steps:
            if isinstance(each, LabelStep | MeasureStep):
                each.select()

    def _slid(self, value: int) -> None:
        self._end_focus()
        self._move(float(value))

    def _update_walk(self) -> None:
        walk, ui = self.session.walk, self.ui
        for widget in (ui.levelSlider, ui.levelUpButton, ui.levelDownButton):
            widget.enabled = walk is not None
        before = ui.levelSlider.blockSignals(True)
        ui.levelSlider.maximum = round(walk.length) if walk is not None else 0
        ui.levelSlider.value = round(self.session.s)
        ui.levelSlider.blockSignals(before)
        level = self.session.level
        ui.levelName.text = f"<b>{level}</b>" if level is not None else ""

    # ---- views

    def _arrange(self) -> None:
        """The own layout, where it is wanted and there is something to show."""
        parameters = self.session.parameters
        wanted = self._entered and parameters is not None and parameters.spineViews and self.session.walk is not None
        if wanted and not self._views.shown:
            self._views.show()
            self._fill_views(self.session.volume)
            qt.QTimer.singleShot(0, self._fit_views)  # once more when the new views have got their sizes
        elif not wanted and self._views.shown:
            self._views.restore()

    def _fill_views(self, image: Any | None) -> None:
        if self.session.walk is not None:
            self._views.fill(image, self.session.walk)
            self._move(self.session.s)
            self._plot_chosen(self.ui.plotSelector.currentIndex)

    def _fit_views(self) -> None:
        if self._views.shown and self.session.walk is not None:
            self._views.fit(self.session.walk)

    def _first_look(self, image: Any | None) -> None:
        """After a run: the worst finding, or the middle of the spine."""
        session = self.session
        self.update()
        if session.walk is None or session.memory is None:
            return
        show_spine(slicer.mrmlScene, session.walk.centerline.points)
        if self._views.shown:
            self._views.fill(image, session.walk)
        worst = max((m for m in session.memory.measurements if m.geometry is not None and m.severity),
                    key=lambda m: m.severity, default=None)
        s = session.walk.s_of(worst.level) if worst is not None else None
        self._move(s if s is not None else session.walk.length / 2)
        self._update_plots()

    def _end_focus(self) -> None:
        if self.session.memory is not None and self.session.record is not None:
            show_default(slicer.mrmlScene, self.session.name, self.session.memory.measurements)
            self._views.show_across(self.session.volume)
        self.session.record = None

    def _update_plots(self) -> None:
        charts, box = self.session.charts(), self.ui.plotSelector
        before = box.blockSignals(True)
        if [box.itemData(i) for i in range(box.count)] != [chart.GetID() for chart in charts]:
            box.clear()
            for chart in charts:
                box.addItem(chart.GetName(), chart.GetID())
            self._plot_chosen(0)
        box.enabled = bool(charts)
        box.blockSignals(before)

    def _plot_chosen(self, index: int) -> None:
        identifier = self.ui.plotSelector.itemData(index)
        self._views.plot(slicer.mrmlScene.GetNodeByID(identifier) if identifier else None)
