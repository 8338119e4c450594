from test_sync import *
import test_s3fd
from test_s3fd import frames, s3fd_file, reference_detector
from metrics.extractors import s3fd
def test_zz_figures(clip, random_syncnet, nocrop_features, tmp_path):
    faces = np.stack([cv2.resize(frame, (224, 224)) for frame in clip.frames])
    theirs = reference_scores(random_syncnet, faces, int16_samples(clip.audio), tmp_path / "reference")
    for n,v in theirs.items(): print("FIG", n, v, score(f"{n}@nocrop", nocrop_features)-v)
    track = track_features(5, 28)
    f = extract(syncnet.SyncnetCrop({"syncnet_v2": random_syncnet}), clip, chunk=10, features={"s3fd_track": track})
    faces = np.stack([crop(clip.frames[t], track["centre"][t], track["half"][t]) for t in range(5, 28)])
    theirs = reference_scores(random_syncnet, faces, int16_samples(clip.audio)[5 * 640 : 28 * 640], tmp_path / "r2")
    for n,v in theirs.items(): print("FIG crop", n, v, score(f"{n}@crop", f)-v)
def test_zz_det(frames, s3fd_file):
    ours = s3fd.detect(s3fd.load_network(s3fd_file), frames)
    det = reference_detector(s3fd_file)
    theirs=[det.detect_faces(x, conf_th=.9, scales=[.25]) for x in frames]
    print("FIG det", [len(x) for x in theirs], max(abs(a-b).max() for a,b in zip(ours,theirs) if len(a)))
