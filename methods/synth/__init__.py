"""Small encoders for the synthetic world: pictures to latents, speech to features, a face to an embedding and boxes.

They stand where the published methods have downloads (sd-vae-ft-mse, Wan2.1's VAE, wav2vec2-base-960h, InsightFace, CLIP,
emotion2vec), so that everything trains and runs without one. `python -m bench train synth_encoders` makes their weights.
"""
