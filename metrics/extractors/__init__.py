"""Networks and detectors. Each module imports its network library inside the constructor only."""
