"""Keeps what the panel's widget classes offer to Python in a real Slicer, as Testing/Harness/slicer_api.json.

Usage: python Utilities/excerpt_slicer_api.py FULL.json

FULL.json was read from a running Slicer: class name -> properties, signals, slots and further attributes.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "Testing" / "Harness" / "slicer_api.json"

CLASSES = """
QAbstractItemView QApplication QBrush QButtonGroup QCheckBox QClipboard QColor QComboBox QDesktopServices QDialog
QFile QFileDialog QFont QFormLayout QGridLayout QGroupBox QHBoxLayout QHeaderView QIcon QImage QKeySequence QLabel
QLineEdit QListWidget QListWidgetItem QMenu QMessageBox QObject QPixmap QPlainTextEdit QPoint QProgressBar
QProgressDialog QPushButton QRadioButton QRect QScrollArea QSettings QShortcut QSize QSizePolicy QSlider QSpinBox
QDoubleSpinBox QSplitter QStackedWidget QTabWidget QTableWidget QTableWidgetItem QTextBrowser QTextDocument QTextEdit
QTimer QToolButton QUrl QVBoxLayout QWidget ctkCollapsibleButton ctkCollapsibleGroupBox ctkMessageBox
qMRMLNodeComboBox qMRMLPlotWidget qMRMLSliceWidget qMRMLThreeDWidget qMRMLWidget qMRMLLayoutManager
qMRMLSegmentEditorWidget qMRMLSliceView qMRMLThreeDView qSlicerApplication qSlicerLayoutManager qSlicerMainWindow
qSlicerModuleManager qSlicerModuleSelectorToolBar qSlicerScriptedLoadableModule qSlicerScriptedLoadableModuleWidget
"""


def excerpt(full: dict[str, Any]) -> dict[str, Any]:
    """The classes above and what they build on; lists of names become one text each."""
    wanted, found = CLASSES.split(), {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        entry = full["classes"][name]
        found[name] = {kind: " ".join(value).replace("const ", "") if isinstance(value, list) else value
                       for kind, value in entry.items()}
        wanted += [entry["plus"]] if "plus" in entry else []
    return {"about": full["about"], "classes": dict(sorted(found.items()))}


if __name__ == "__main__":
    data = excerpt(json.loads(Path(sys.argv[1]).read_text()))
    TARGET.write_text(json.dumps(data, indent=0, ensure_ascii=False) + "\n")
    print(f"{TARGET.name}: {len(data['classes'])} classes, {TARGET.stat().st_size // 1024} KiB")
