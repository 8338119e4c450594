"""SynthEncoders: the encoders of the rendered world, see `methods.conditioning.encoders`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from methods.conditioning.encoders import Encoders

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from methods.conditioning.speech import SpeechEncoder
    from methods.synth.face import SynthFaceReader
    from methods.synth.speech import SpeechEmotion


class SynthEncoders(Encoders):
    """Small networks that ship with the suite, for frames of 128 x 128 px."""

    name: ClassVar[str] = "synth"
    weights = ("synth_vae", "synth_speech", "synth_face_reader")
    size = 128
    latent_channels = 8
    audio_blocks = 4
    audio_channels = 96
    face_channels = 64

    def load_vae(self) -> AutoencoderKL:
        from methods.synth.vae import load_vae

        return load_vae(self.files["synth_vae"])

    def load_speech(self) -> SpeechEncoder:
        from methods.conditioning.speech import SpeechEncoder
        from methods.synth.speech import load_speech_network

        return SpeechEncoder(load_speech_network(self.files["synth_speech"]).wav2vec2, self.device)

    def load_face(self) -> SynthFaceReader:
        from methods.synth.face import SynthFaceReader

        return SynthFaceReader(self.files["synth_face_reader"], self.device)

    def load_emotion(self) -> SpeechEmotion:
        from methods.synth.speech import SpeechEmotion, load_speech_network

        return SpeechEmotion(load_speech_network(self.files["synth_speech"]), self.device)
