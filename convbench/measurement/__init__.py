"""A configuration's tensors, the explicit formulas, the independent reference and the verdicts; needs torch."""
