"""Credentials on exported media. Oracle: the validator of the C2PA reference library (c2pa-rs), which reads what others would
read, and the decoder: marks change no pixel and no sample."""

import datetime
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from bench.certificate import signer
from bench.cli.app import main
from bench.credentials import RUN, mark, read_credentials, run_claim
from bench.export import export_run
from bench.leaderboard import open_run
from bench.media.clip import ArrayClip, Clip, hash_file
from bench.media.errors import MediaError, UserError
from bench.media.write import write_viewer_copy
from tests.bench.conftest import Quiet

SUMMARY = {
    "fingerprint": "f" * 64, "method": "some_method", "label": "some_method (x=1)", "protocol": "folder", "control": False,
    "synthetic": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AU_BENCH_C2PA_CERT", raising=False)
    monkeypatch.delenv("AU_BENCH_C2PA_KEY", raising=False)


@pytest.fixture
def video(tmp_path) -> Path:
    noise = np.random.default_rng(0)
    frames = noise.integers(0, 255, (8, 48, 64, 3), np.uint8)
    write_viewer_copy(ArrayClip(frames, 0.1 * noise.standard_normal(5120).astype(np.float32)), tmp_path / "bare.mp4")
    return tmp_path / "bare.mp4"


def marked(video: Path, **changes) -> Path:
    out = video.with_name("marked.mp4")
    mark(video, out, run_claim(SUMMARY | changes, "a/b"))
    return out


def test_a_mark_says_what_the_file_is_and_changes_nothing_in_it(video):
    """Oracle: the C2PA validator, and equal frames and samples."""
    found = read_credentials(marked(video))
    assert (found.state, found.problems, found.known_signer) == ("valid", (), True)
    assert found.claims == SUMMARY | {"case": "a/b"}
    assert np.array_equal(Clip(video).frames, Clip(marked(video)).frames)
    assert np.array_equal(Clip(video).audio, Clip(marked(video)).audio)
    assert sorted(path.name for path in video.parent.glob("*.mp4*")) == ["bare.mp4", "marked.mp4"]


@pytest.mark.parametrize(
    ("control", "synthetic", "source"),
    [(False, False, "trainedAlgorithmicMedia"), (False, True, "trainedAlgorithmicMedia"), (True, True, "algorithmicMedia"),
     (True, False, None)],
)  # fmt: skip
def test_only_a_method_claims_to_be_a_network(video, control, synthetic, source):
    """Oracle: the IPTC terms: a control on recordings is not ours to describe, one on rendered people is rendered."""
    assert read_credentials(marked(video, control=control, synthetic=synthetic)).source_type == source


def test_a_change_is_seen(video):
    """Oracle: one bit, in the picture or in the claim."""
    good = marked(video).read_bytes()
    changed = video.with_name("changed.mp4")
    for place in (len(good) - 300, good.index(b"some_method"), good.index(b"trainedAlgorithmicMedia")):
        content = bytearray(good)
        content[place] ^= 1
        changed.write_bytes(content)
        found = read_credentials(changed)
        assert found.state == "tampered"
        assert found.problems
    changed.write_bytes(good[: len(good) // 2])
    assert read_credentials(changed).state == "tampered"


def test_encoding_again_leaves_none(video):
    """Oracle: a remux by PyAV, which copies streams and nothing else."""
    copy = video.with_name("copy.mp4")
    with av.open(str(marked(video))) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert read_credentials(copy).state == "missing"
    assert read_credentials(video).state == "missing"


def test_who_signed(video, tmp_path, monkeypatch):
    """Oracle: a machine vouches for its own certificate, or the one it is told of, and for no other."""
    theirs = marked(video)
    assert read_credentials(theirs).known_signer
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "another machine"))
    assert not read_credentials(theirs).known_signer
    assert read_credentials(theirs).state == "valid"
    monkeypatch.setenv("AU_BENCH_C2PA_CERT", str(tmp_path / "cache" / "credentials" / "chain.pem"))
    assert read_credentials(theirs).known_signer
    with pytest.raises(UserError, match="set both"):
        signer()


def test_ones_own_certificate_signs(video, tmp_path, monkeypatch):
    """Oracle: the name in an RSA certificate made here."""
    chain, key = rsa_certificate("A Laboratory")
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    monkeypatch.setenv("AU_BENCH_C2PA_CERT", str(tmp_path / "chain.pem"))
    monkeypatch.setenv("AU_BENCH_C2PA_KEY", str(tmp_path / "key.pem"))
    found = read_credentials(marked(video))
    assert (found.state, found.known_signer) == ("valid", True)
    assert found.signer.startswith("A Laboratory")
    assert not (tmp_path / "cache" / "credentials").exists()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(UserError, match="AU_BENCH_C2PA_KEY its key"):
        marked(video)


def test_the_key_is_private_and_made_once(tmp_path):
    """Oracle: the mode of the file; eight threads that all come first get the same signer."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: signer().key, range(8)))
    assert len(keys) == 1
    assert (tmp_path / "cache" / "credentials" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["credentials"]


def test_files_that_cannot_carry_any(video, tmp_path):
    """Oracle: the kind of error, and what it says."""
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "empty.mp4").touch()
    for name, reason in (
        ("text.txt", "carries no credentials"),
        ("gone.mp4", "no such file"),
        ("empty.mp4", "cannot be read"),
    ):
        with pytest.raises(MediaError, match=reason):
            read_credentials(tmp_path / name)


def test_metrics_never_see_a_mark(bench_run, clips, tmp_path):
    """Oracle: a run and its videos are the same bytes before and after an export; marked and unmarked copies of the same
    frames score the same."""
    outcome = bench_run("still_image", clips, limit=2)
    before = {path: hash_file(path) for path in outcome.folder.rglob("*") if path.is_file()}
    files = export_run(open_run(outcome.folder), tmp_path / "shared", Quiet())
    assert {path: hash_file(path) for path in outcome.folder.rglob("*") if path.is_file()} == before
    assert len(files) == 2
    assert {read_credentials(path).state for path in files} == {"valid"}
    assert read_credentials(outcome.folder / "viewer" / "a.mp4").state == "missing"
    scores = [
        bench_run("mine", clips, out=out, videos=folder, limit=2).summary["metrics"]
        for out, folder in (("unmarked", outcome.folder / "viewer"), ("marked", tmp_path / "shared"))
    ]
    assert scores[0] == scores[1]


def test_export_and_verify_on_the_command_line(clips, tmp_path, monkeypatch, capsys):
    """Oracle: the documented exit codes: 0 valid, 1 changed, 2 cannot be read, 3 none; finished videos are exported too."""

    def call(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        return main()

    shared = tmp_path / "shared"
    common = ("--protocol", "folder", "--data", clips, "--limit", 2, "--metrics", "psnr", "--device", "cpu")
    assert (
        call("score", "--videos", clips, "--name", "mine", "--out", tmp_path / "run", "--export", shared, *common) == 0
    )
    capsys.readouterr()
    assert call("verify", shared / "a.mp4", shared / "b.mp4", "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert [one["claims"]["case"] for one in found] == ["a", "b"]
    assert [one["source_type"] for one in found] == ["trainedAlgorithmicMedia"] * 2
    assert call("verify", shared / "a.mp4", clips / "a.mp4") == 3
    assert "no credentials" in capsys.readouterr().out
    content = bytearray((shared / "a.mp4").read_bytes())
    content[-200] ^= 1
    (shared / "a.mp4").write_bytes(content)
    assert call("verify", shared / "a.mp4", clips / "a.mp4") == 1
    assert "TAMPERED" in capsys.readouterr().out
    assert call("verify", shared / "gone.mp4") == 2


def test_text_of_a_run_is_text(video):
    """Oracle: what goes in comes out, whatever signs it holds."""
    label = 'a "quoted" {label} <b>é\\n</b>'
    assert read_credentials(marked(video, label=label)).claims["label"] == label
    assert RUN == "org.aubench.run"


def rsa_certificate(name: str) -> tuple[bytes, bytes]:
    """PEM of a signer's certificate with its issuer, and of its RSA key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, n), x509.NameAttribute(NameOID.COMMON_NAME, n)])
             for n in ("Issuer", name)]  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    made = []
    for place in (0, 1):
        leaf = place == 1
        usage = [leaf, False, False, False, False, not leaf, not leaf, False, False]
        builder = (
            x509.CertificateBuilder(names[0], names[place], keys[place].public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(not leaf, None), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if leaf:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    return made[1] + made[0], keys[1].private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
