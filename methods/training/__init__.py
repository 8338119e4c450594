"""Training of the video methods: recipes, windows over precomputed features, one loop."""
