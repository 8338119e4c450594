"""CSIM and the ArcFace extractors.

Oracles: scipy's cosine distance; insightface.utils.face_align.norm_crop; insightface's ArcFaceONNX.get_feat and a plain
onnxruntime session on the same random recognition model; a detector made in the test whose answer is known.

The published detector and recognition weights are not at hand, so the networks here are small ONNX files made with
`onnx`.
"""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.media.arcface import align
from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.csim import CSIM, TargetCSIM
from metrics.extractors.arcface import ArcFaceAntelopeV2, ArcFaceW600kR50
from metrics.functional.csim import METRICS, cosine, csim_reference, csim_target

BY_KEY = {metric.key: metric for metric in METRICS}
FACES = {"small": (16.0, (60, 60, 90, 100)), "large": (32.0, (100, 70, 260, 250))}
"""Faces the test's detector reports: the stride of its head, and the box x1 y1 x2 y2 in pixels of the 360x288 frame.
The small one has the higher score."""
POINTS = {
    "small": np.array([[68, 75], [82, 74], [75, 84], [69, 92], [81, 93]], np.float32),
    "large": np.array([[150, 130], [205, 127], [180, 160], [157, 195], [203, 192]], np.float32),
}


def recognition_model(path, seed=0):
    """A random recognition network, 1x3x112x112 -> 512: convolution, ReLU, pooling to 7x7, linear."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    weights = {
        "kernel": rng.normal(size=(8, 3, 7, 7)).astype(np.float32) / 10,
        "linear": rng.normal(size=(8 * 49, 512)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv", strides=[4, 4]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[3, 3], strides=[3, 3]),
        helper.make_node("AveragePool", ["p"], ["a"], name="mean", kernel_shape=[3, 3]),
        helper.make_node("Flatten", ["a"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "linear"], ["embedding"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "recognition",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 512])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    save(onnx, helper, graph, path)


def detection_model(path):
    """A detector with the nine outputs of SCRFD (scores, boxes, points at strides 8, 16, 32; two anchors per cell) that
    reports FACES with POINTS in every frame that is not black, whatever the frame shows otherwise."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    to_input = 640 / 360  # insightface scales the longer side to 640
    constants, nodes, outputs = {"gain": np.float32(100), "shift": np.float32(95)}, [], []
    nodes.append(helper.make_node("ReduceMean", ["image"], ["mean"], name="mean", keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "gain"], ["scaled"], name="scale"))
    nodes.append(helper.make_node("Add", ["scaled", "shift"], ["lifted"], name="lift"))
    nodes.append(helper.make_node("Sigmoid", ["lifted"], ["seen"], name="seen"))
    for stride in (8, 16, 32):
        cells = (640 // stride) ** 2 * 2
        score, box, points = np.zeros((cells, 1)), np.ones((cells, 4)), np.ones((cells, 10))
        for name, (head, edges) in FACES.items():
            if head != stride:
                continue
            x, y = (int(v * to_input // stride) for v in POINTS[name][2])
            row, centre = 2 * (y * (640 // stride) + x), np.array([x, y]) * stride
            edges = np.array(edges) * to_input
            score[row] = 0.99 if name == "small" else 0.8
            box[row] = np.concatenate([centre - edges[:2], edges[2:] - centre]) / stride
            points[row] = ((POINTS[name] * to_input - centre) / stride).ravel()
        for kind, value in (("score", score), ("box", box), ("points", points)):
            constants[f"{kind}{stride}_value"] = value.astype(np.float32)
            nodes.append(
                helper.make_node(
                    *(
                        ("Mul", [f"{kind}{stride}_value", "seen"])
                        if kind == "score"
                        else ("Identity", [f"{kind}{stride}_value"])
                    ),
                    [f"{kind}{stride}"],
                    name=f"{kind}{stride}",
                )
            )
            outputs.append((kind, stride, value.shape))
    order = {"score": 0, "box": 1, "points": 2}
    graph = helper.make_graph(
        nodes,
        "detection",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, list(shape))
            for kind, stride, shape in sorted(outputs, key=lambda output: (order[output[0]], output[1]))
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    save(onnx, helper, graph, path)


def save(onnx, helper, graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arcface")
    for name in ("det_10g", "scrfd_10g_bnkps"):
        detection_model(folder / name)
    recognition_model(folder / "w600k_r50", seed=0)
    recognition_model(folder / "glintr100", seed=1)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def frames(grid_clips):
    return Clip(grid_clips[0]).frames[:6]


def extract(extractor, frames, max_frames=64):
    clip = ArrayClip(frames)
    extractor.begin(clip, {})
    for chunk in clip.chunks(max_frames):
        extractor.update(chunk)
    return extractor.finish()["embedding"]


def test_alignment_equals_insightface(frames):
    """Oracle: insightface.utils.face_align.norm_crop (skimage's Umeyama and the same warp), on noisy points."""
    from insightface.utils.face_align import norm_crop

    rng = np.random.default_rng(0)
    for frame in frames:
        points = (POINTS["large"] + rng.normal(size=(5, 2)) * 8).astype(np.float32)
        with warnings.catch_warnings():  # of skimage 0.26 about the call inside insightface
            warnings.simplefilter("ignore", FutureWarning)
            theirs = norm_crop(frame, points)
        ours = align(frame, points)
        assert ours.shape == (112, 112, 3) and ours.dtype == np.uint8 and ours.std() > 10
        # cv2 rounds the warp to 1/32 pixel, so a last-digit difference of the matrices may show (measured: 2 values
        # of 10000, by 1).
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        assert np.mean(ours != theirs) < 1e-3


@pytest.mark.parametrize(
    "cls,recogniser", [(ArcFaceW600kR50, "w600k_r50"), (ArcFaceAntelopeV2, "glintr100")], ids=["w600k", "antelope"]
)
def test_chain_equals_insightface_and_plain_onnxruntime(cls, recogniser, files, frames):
    """Oracles: ArcFaceONNX.get on insightface's own crop at the known points; (x - 127.5) / 127.5 on the RGB crop fed
    to an onnxruntime session by hand."""
    import onnxruntime
    from insightface.app.common import Face
    from insightface.model_zoo import ArcFaceONNX

    embeddings = extract(cls({name: files[name] for name in cls.weights}), frames, max_frames=4)
    assert embeddings.shape == (6, 512) and embeddings.dtype == np.float32
    session = onnxruntime.InferenceSession(str(files[recogniser]), providers=["CPUExecutionProvider"])
    theirs = ArcFaceONNX(str(files[recogniser]), session=session)
    for frame, embedding in zip(frames, embeddings, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            expected = theirs.get(np.ascontiguousarray(frame[..., ::-1]), Face(kps=POINTS["large"]))
        np.testing.assert_allclose(embedding, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        crop = align(frame, POINTS["large"]).astype(np.float32)
        by_hand = session.run(None, {"image": ((crop - 127.5) / 127.5).transpose(2, 0, 1)[None]})[0][0]
        np.testing.assert_allclose(embedding, by_hand, rtol=1e-3, atol=1e-3 * np.abs(by_hand).max())
        swapped = session.run(None, {"image": ((crop - 127.5) / 127.5).transpose(2, 0, 1)[None, ::-1].copy()})[0][0]
        assert np.abs(embedding - swapped).max() > 0.05 * np.abs(by_hand).max()  # the colour order matters


def test_variants_use_their_own_weights(files, frames):
    """Oracle: two different random models cannot agree."""
    one = extract(ArcFaceW600kR50(files), frames[:1])
    other = extract(ArcFaceAntelopeV2(files), frames[:1])
    assert abs(cosine(one, other)[0]) < 0.5
    assert (ArcFaceW600kR50.name, ArcFaceAntelopeV2.name) == ("arcface_w600k_r50", "arcface_antelopev2")


def test_largest_face_wins_over_the_highest_score(files, frames):
    """Oracle: the crop at the large face's points; the small face has the higher score."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(files["w600k_r50"]), providers=["CPUExecutionProvider"])
    embedding = extract(ArcFaceW600kR50(files), frames[:1])[0]
    gap = {}
    for name, points in POINTS.items():
        crop = (align(frames[0], points).astype(np.float32) - 127.5) / 127.5
        gap[name] = np.abs(session.run(None, {"image": crop.transpose(2, 0, 1)[None]})[0][0] - embedding).max()
    assert gap["large"] < 1e-2 < 1 < gap["small"]


def test_detector_runs_at_640(files):
    """Oracle: the detector setting of insightface 0.7.3, which newer FaceAnalysis no longer has by default."""
    detector = ArcFaceW600kR50(files)._arcface._detector
    assert detector.input_sizes == [(640, 640)]
    assert (detector.det_thresh, detector.nms_thresh) == (0.5, 0.4)


def test_frames_without_a_face_are_nan(files, frames):
    """Oracle: construction; the detector sees nothing in a black frame."""
    shown = np.stack([frames[0], np.zeros_like(frames[0]), frames[1]])
    embeddings = extract(ArcFaceW600kR50(files), shown)
    assert np.isfinite(embeddings).all(1).tolist() == [True, False, True]
    assert np.isnan(embeddings[1]).all()
    np.testing.assert_array_equal(embeddings[[0, 2]], extract(ArcFaceW600kR50(files), frames[:2]))


vectors = arrays(np.float64, (3, 16), elements=st.floats(-10, 10)).filter(
    lambda v: np.linalg.norm(v, axis=1).min() > 1e-3
)


@settings(deadline=None, max_examples=40)
@given(vectors, vectors, st.floats(1e-3, 1e3))
def test_cosine_equals_scipy(a, b, scale):
    """Oracle: 1 - scipy.spatial.distance.cosine. Identities: in [-1, 1], 1 with itself, -1 with its opposite, scale
    free, symmetric."""
    from scipy.spatial.distance import cosine as distance

    ours = cosine(a, b)
    np.testing.assert_allclose(ours, [1 - distance(x, y) for x, y in zip(a, b, strict=True)], atol=1e-12)
    assert np.all(np.abs(ours) <= 1)
    np.testing.assert_allclose(cosine(a, a), 1, atol=1e-12)
    np.testing.assert_allclose(cosine(a, -scale * a), -1, atol=1e-12)
    np.testing.assert_allclose(cosine(scale * a, b), ours, atol=1e-12)
    np.testing.assert_array_equal(cosine(b, a), ours)


def embeddings(seed, frames=6):
    return np.random.default_rng(seed).normal(size=(frames, 512)).astype(np.float32)


def test_mean_over_frames_equals_scipy():
    """Oracle: scipy's cosine per frame, frames without a face left out, averaged by hand."""
    from scipy.spatial.distance import cosine as distance

    prediction, target, reference = embeddings(0), embeddings(1), embeddings(2, 1)
    prediction[4], target[1] = np.nan, np.nan
    with_reference = [1 - distance(prediction[t].astype(float), reference[0].astype(float)) for t in (0, 1, 2, 3, 5)]
    assert csim_reference(prediction, reference) == pytest.approx(np.mean(with_reference), abs=1e-12)
    with_target = [1 - distance(prediction[t].astype(float), target[t].astype(float)) for t in (0, 2, 3, 5)]
    assert csim_target(prediction, target) == pytest.approx(np.mean(with_target), abs=1e-12)
    assert csim_reference(np.repeat(reference, 5, 0), reference) == 1
    assert csim_target(prediction, prediction * np.float32(3)) == pytest.approx(1, abs=1e-7)


def test_clips_without_a_value():
    """Oracle: the documented rule; the reason names counts and the clip."""
    missing = np.full((4, 512), np.nan, np.float32)
    with pytest.raises(Undefined, match="no face in the reference image"):
        csim_reference(embeddings(0), missing[0])
    with pytest.raises(Undefined, match="no face in 4 of 4 frames of the prediction"):
        csim_reference(missing, embeddings(1, 1))
    with pytest.raises(Undefined, match="4 of 4 frames of the target"):
        csim_target(embeddings(0, 4), missing)
    with pytest.raises(Undefined, match="prediction 6, target 5"):
        csim_target(embeddings(0, 6), embeddings(0, 5))


def test_descriptions_and_cases():
    """Oracle: the table of metrics of the design, and the formulas on the features named there."""
    assert [metric.key for metric in METRICS] == [
        "csim@w600k_r50",
        "csim@target",
        "csim@antelopev2",
        "csim@synth",
        "csim@synth_target",
    ]
    needs = {
        f"{role}:arcface_{network}": {"embedding": embeddings(10 * i + j, 1 if role == "reference" else 5)}
        for i, role in enumerate(("prediction", "target", "reference"))
        for j, network in enumerate(("w600k_r50", "antelopev2"))
    }
    for key, network, role in (
        ("csim@w600k_r50", "w600k_r50", "reference"),
        ("csim@target", "w600k_r50", "target"),
        ("csim@antelopev2", "antelopev2", "reference"),
    ):
        metric = BY_KEY[key]
        assert metric.needs == (f"prediction:arcface_{network}", f"{role}:arcface_{network}")
        assert metric.kind == "mean" and metric.higher_is_better and metric.bounds == (-1, 1) and metric.unit == ""
        formula = csim_target if role == "target" else csim_reference
        assert metric.case(needs) == formula(*(needs[need]["embedding"] for need in metric.needs))


def test_classes_are_the_mean_over_clips():
    """Oracle: the formulas per clip, averaged by hand; clips of different length weigh the same."""
    by_reference, by_target = CSIM(), TargetCSIM()
    clips = [(embeddings(i, 3 + i), embeddings(i + 20, 3 + i)) for i in range(3)]
    for prediction, target in clips:
        by_reference.update(torch.from_numpy(prediction), torch.from_numpy(target[0]))
        by_target.update(torch.from_numpy(prediction), torch.from_numpy(target))
    expected = np.mean([csim_reference(prediction, target[0]) for prediction, target in clips])
    assert float(by_reference.compute()) == pytest.approx(expected, abs=1e-12)
    assert float(by_target.compute()) == pytest.approx(np.mean([csim_target(*clip) for clip in clips]), abs=1e-12)
    assert (CSIM.higher_is_better, CSIM.is_differentiable, CSIM.full_state_update) == (True, False, False)
