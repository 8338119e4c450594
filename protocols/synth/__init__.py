"""The synthetic world: rendered talking heads whose Action Units, landmarks, identity and timing are known exactly."""
