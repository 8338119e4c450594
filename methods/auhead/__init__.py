"""AUHead (ICLR 2026): talking heads whose expression follows Action Units that are heard in the speech."""
