"""Results as DICOM: segmentation, structured report, the page as a document and its pictures as images."""
