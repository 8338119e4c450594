"""AUHead's first stage: speech in, an emotion and Action Units out, written by an audio-language model."""
