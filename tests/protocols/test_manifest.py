"""Manifests. Oracles: bytes on disk, digests of sha256sum's algorithm, and the command that a message names."""

import hashlib
import json

import pytest

from bench.media.errors import UserError
from protocols.manifest import MANIFEST, Manifest, read_manifest, verify, write_manifest
from tests.protocols.prepared import mead_clip, prepare

IDS = ("M003/happy/level_2/001", "M003/sad/level_1/002", "W009/neutral/level_1/003")


@pytest.fixture
def folder(tmp_path):
    """Three files and their manifest."""
    clips = []
    for id in IDS:
        clip = mead_clip(id)
        path = tmp_path / clip.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(id.encode())
        clips.append(clip)
    return prepare(tmp_path, "mead", clips, missing=("M030",), complete=False)


def test_what_is_written_is_read_again(folder):
    """Oracle: the clips written; equal manifests are equal bytes, and no half-written file is left."""
    manifest = read_manifest(folder, "mead")
    assert [clip.id for clip in manifest.clips] == list(IDS)
    assert (manifest.missing, manifest.complete, manifest.size) == (("M030",), False, (512, 512))
    before = (folder / MANIFEST).read_bytes()
    write_manifest(folder, manifest)
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.is_file()] == [MANIFEST]


def test_a_failed_write_keeps_the_old_manifest(folder, monkeypatch):
    """Oracle: the bytes before."""
    before = (folder / MANIFEST).read_bytes()
    manifest = read_manifest(folder, "mead")

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError):
        write_manifest(folder, manifest.model_copy(update={"clips": ()}))
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.is_file()] == [MANIFEST]


def test_verify_finds_absent_and_changed_files(folder):
    """Oracle: hashlib on the same bytes; one file deleted, one changed by one bit, one left alone."""
    manifest = read_manifest(folder, "mead")
    assert verify(folder, manifest) == []
    deleted, changed, _ = (folder / clip.file for clip in manifest.clips)
    deleted.unlink()
    content = bytearray(changed.read_bytes())
    content[0] ^= 1
    changed.write_bytes(content)
    assert hashlib.sha256(content).hexdigest() != manifest.clips[1].sha256
    assert verify(folder, manifest) == [
        f"clips/{IDS[0]}.mkv: absent",
        f"clips/{IDS[1]}.mkv: differs from the manifest",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"),
        ("[]", "schema None"),
        ("{}", "schema None"),
        ('{"schema_version": 2}', "schema 2"),
        ('{"schema_version": 1, "dataset": "mead"}', "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused_with_the_command_that_makes_it_again(folder, content, said):
    """Oracle: the command line that the message names."""
    (folder / MANIFEST).write_text(content)
    with pytest.raises(UserError, match=said) as error:
        read_manifest(folder, "mead")
    assert f"python -m bench prepare mead --root OFFICIAL --out {folder}" in str(error.value)


def test_unknown_fields_are_damage(folder):
    """Oracle: a field that no version has written."""
    content = json.loads((folder / MANIFEST).read_text())
    content["clips"][0]["mood"] = "fine"
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(UserError, match="damaged"):
        read_manifest(folder, "mead")


def test_no_manifest_and_another_data_set(folder, tmp_path):
    """Oracle: the data sets' names in the message."""
    with pytest.raises(UserError, match="no prepared data set.*bench prepare mead"):
        read_manifest(tmp_path / "elsewhere", "mead")
    with pytest.raises(UserError, match="holds mead, this protocol needs crema"):
        read_manifest(folder, "crema")


def test_every_field_is_documented():
    """Oracle: the schema's own descriptions."""
    fields = Manifest.model_json_schema()["properties"]
    assert [name for name, field in fields.items() if name != "schema_version" and not field.get("description")] == []
