"""What is evaluated on what: evaluation protocols (lists of cases), not interfaces."""
