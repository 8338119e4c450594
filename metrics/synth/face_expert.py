"""What the two face experts share: from frames of any size to the crops their networks see."""

from __future__ import annotations

import numpy as np

from metrics.synth.frame_expert import FrameExpert, resized


class FaceExpert(FrameExpert):
    """Has a network with `locate`, `SIZE` and `floor` (FaceNetwork, AUNetwork)."""

    @staticmethod
    def make_network():
        """The network, its weights not loaded."""
        raise NotImplementedError

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        from metrics.extractors.cores import for_inference
        from metrics.synth.training import load_weights

        self.network = for_inference(load_weights(self.make_network(), files[self.name]), device)

    def crops(self, frames: np.ndarray):
        """The faces that the network finds.

        Args:
            frames: uint8 (t, H, W, 3) RGB.

        Returns:
            crops uint8 tensor (t, SIZE, SIZE, 3) on the device; float64 (t, 2, 3), the similarities from the frames,
            brought to FRAME x FRAME px, to the crops.
        """
        import torch

        from metrics.synth.alignment import FRAME, EyeLocator, crop_matrices, crops

        frames = resized(frames, FRAME)
        small = torch.from_numpy(resized(frames, EyeLocator.SIZE)).to(self.device)
        matrices = crop_matrices(FRAME * self.network.locate(small).double().cpu().numpy(), self.network.SIZE)
        return torch.from_numpy(crops(frames, matrices, self.network.SIZE)).to(self.device), matrices
