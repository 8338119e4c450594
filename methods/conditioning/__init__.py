"""What goes into the talking-head denoisers: latents, speech features, identity, face regions, emotion."""
