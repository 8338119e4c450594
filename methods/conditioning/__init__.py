"""What goes into the talking-head denoisers: latents, speech features, identity, prompt, face regions, emotion."""
