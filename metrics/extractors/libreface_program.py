"""Runs inside LibreFace's own environment (Python 3.9 to 3.11): frames in, one CSV out. Not imported by the suite.

    python libreface_program.py prepare WEIGHTS             download what is missing
    python libreface_program.py run FRAMES OUT.csv WEIGHTS  FRAMES: folder of PNG files, in order of name

One row per frame: `frame`, `success`, then LibreFace's own columns, empty where its mediapipe found no face. The whole
`libreface` command is not used: it decodes the video with ffmpeg on its own, leaves frames without a face out of its
table, writes seconds into a column named `frame_time_in_ms`, prints errors and exits with 0, and runs three more
networks.
"""

import csv
import os
import sys
import tempfile
from pathlib import Path


def prepare(weights):
    """Run the network once on a grey image, which makes LibreFace and torchvision download what they need."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "grey.png"
        Image.new("RGB", (256, 256), (128, 128, 128)).save(image)
        predict([str(image)], weights)


def run(frames, out, weights):
    from libreface.detect_mediapipe_image import get_aligned_image

    paths = sorted(Path(frames).glob("*.png"))
    aligned = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            try:
                aligned[number] = get_aligned_image(str(path), temp_dir=folder)[0]
            except (RuntimeError, AttributeError) as error:
                # The second is what LibreFace 0.2.0 runs into where mediapipe finds two faces; it drops both frames.
                if not str(error).endswith(("No face landmarks", "'numpy.ndarray' object has no attribute 'append'")):
                    raise
        columns, rows = predict(list(aligned.values()), weights) if aligned else ([], [])
    found = {number: rows[i] for i, number in enumerate(aligned)}
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "success", *columns])
        for number in range(len(paths)):
            writer.writerow([number, int(number in found), *found.get(number, [""] * len(columns))])


def predict(aligned, weights):
    """Column names and one row of values per aligned image."""
    from libreface.AU_Recognition.inference import get_au_intensities_and_detect_aus_video

    detected, intensities = get_au_intensities_and_detect_aus_video(
        aligned, device="cpu", batch_size=32, num_workers=0, weights_download_dir=weights
    )
    table = detected.join(intensities)
    return list(table.columns), table.values.tolist()


if __name__ == "__main__":
    # torchvision's ResNet-18, which LibreFace loads before its own weights replace it, is kept beside them.
    os.environ["TORCH_HOME"] = str(Path(sys.argv[-1]) / "torch")
    {"prepare": prepare, "run": run}[sys.argv[1]](*sys.argv[2:])
