"""Experts for the synthetic world: small networks trained on its renderings, in place of the published ones.

Each is an Extractor as those of `metrics/extractors`, feeds the `@synth` variants of the metrics, and is valid on
`synth_*` protocols only: on real faces its values mean nothing. Weights are in `weights/`; `bench train synth_experts`
makes them again.

| file | holds |
|---|---|
| `arrays.py` | the training arrays on disk, and which identities are left for validation |
| `training.py` | the training loop, checkpoints, weight files |
| `face_expert.py`, `alignment.py`, `au_regression.py` | what experts A and B share: the upright crop, reading sparse AUs |
| `face_samples.py`, `augment.py`, `face_training.py`, `face_accuracy.py` | their training faces, training and figures |
| `face.py`, `face_network.py`, `train_face.py` | expert A, landmarks and AUs: m_lmd, f_lmd, au_* |
| `au.py`, `au_network.py`, `train_au.py` | expert B, AUs by another way on other people: au_*@synth_b |
| `expression.py`, `train_expression.py` | expression coefficients: efid |
| `frame_expert.py` | frames of any size to batches and rows |
| `fit.py` | one expert: train, round, measure, save |
| `crops.py`, `degradations.py` | fixed parts of frames, random views of them, known damage |
| `decorrelate.py` | features that weigh the same in a Fréchet distance |
| `convnet.py`, `people.py` | blocks of the networks; batches of people and the contrast between them |
| `identity.py`, `train_identity.py` | who it is: csim |
| `sync.py`, `sync_network.py`, `train_sync.py` | lips and speech: lse_c, lse_d, av_offset |
| `image.py`, `image_network.py`, `train_image.py` | frames: fid, kid, lpips |
| `video.py`, `video_network.py`, `train_video.py` | windows of 16 frames: fvd |
| `emotion.py`, `emotion_network.py`, `train_emotion.py` | the emotion of a clip: acc_emo |
"""
