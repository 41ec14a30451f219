"""Several scans of one visit, brought to where the labels are."""
