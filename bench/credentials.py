"""Content Credentials (C2PA 2.2) on media that leaves the suite: who made it, with which run, and that a network drew it.

IUFace section H asks for authentication marks on generated videos. A signed manifest is added to a *copy* of the file; its
pixels and sound stay the same, byte for byte after decoding, and what is scored never carries one. A manifest is lost when a
site or a tool encodes the file again: a missing one says nothing about where a video is from.

| what | first action | digitalSourceType (IPTC) |
|---|---|---|
| a method's video | c2pa.created | trainedAlgorithmicMedia |
| a control on rendered people | c2pa.created | algorithmicMedia |
| a control on recorded people | c2pa.opened | none: the recording is somebody else's, the suite claims nothing about it |

There is no imperceptible watermark; docs/responsible_use.md says why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from bench.certificate import INSTALL, known_certificates, signer
from bench.media.errors import MediaError, MissingPrerequisite, UserError

RUN, STUDY = "org.aubench.run", "org.aubench.study"
"""Labels of the suite's own assertions."""
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
Source = Literal["trainedAlgorithmicMedia", "algorithmicMedia", "recorded"]
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""A manifest may name addresses to ask; nothing here asks them."""


@dataclass(frozen=True)
class Claim:
    """What a manifest says of a file."""

    label: str
    """RUN or STUDY."""
    content: dict[str, Any]
    source: Source


@dataclass(frozen=True)
class Credentials:
    """What a file says of itself, and whether that can be believed."""

    state: Literal["valid", "tampered", "missing"]
    """`valid`: signature and hashes hold. `tampered`: file or manifest changed after signing. `missing`: no manifest."""
    problems: tuple[str, ...] = ()
    """What does not hold."""
    known_signer: bool = False
    """Signed with this machine's own certificate, or the one that AU_BENCH_C2PA_CERT names. Anyone can make a certificate."""
    signer: str | None = None
    """Name in the signer's certificate."""
    source_type: str | None = None
    """Last part of the digitalSourceType, such as trainedAlgorithmicMedia; None where nothing is claimed."""
    claims: dict[str, Any] | None = None
    """The suite's own assertion: run fingerprint, method, protocol, case; or study and clip."""


def run_claim(summary: dict[str, Any], case: str) -> Claim:
    """What the copy of a case's video says, from the run's summary.json."""
    content = {name: summary[name] for name in ("fingerprint", "method", "label", "protocol", "control", "synthetic")}
    return Claim(RUN, content | {"case": case}, source_of(summary))


def source_of(summary: dict[str, Any]) -> Source:
    """How a run's frames came to be."""
    if not summary["control"]:
        return "trainedAlgorithmicMedia"
    return "algorithmicMedia" if summary["synthetic"] else "recorded"


def mark(source: Path, out: Path, claim: Claim) -> None:
    """Copy an MP4, PNG or JPEG file to `out` with a signed manifest; it appears whole or not at all.

    Raises:
        MissingPrerequisite: c2pa-python is not installed.
        UserError: the file is of another type, cannot be written, or the certificate is refused.
    """
    c2pa = _c2pa()
    mine = signer()
    manifest = {
        "claim_generator_info": [{"name": "au-talking-head-bench", "version": _version()}],
        "title": out.name,
        "assertions": [{"label": claim.label, "data": claim.content}],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        info = c2pa.C2paSignerInfo(mine.algorithm, mine.chain.encode(), mine.key.encode(), None)
        with c2pa.Signer.from_info(info) as key, c2pa.Builder(manifest, _context(c2pa)) as builder:
            _set_origin(c2pa, builder, claim.source)
            builder.sign_file(source, temporary, key)
        os.replace(temporary, out)
    except (OSError, c2pa.C2paError) as error:
        raise UserError(f"{out}: no credentials could be written for {source} ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_credentials(path: Path) -> Credentials:
    """What a file's manifest says and whether it holds.

    Raises:
        MediaError: there is no such file, or it is of a type that cannot carry a manifest.
    """
    c2pa = _c2pa()
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    try:
        found = c2pa.Reader.try_create(path, context=_context(c2pa, known_certificates()))
    except c2pa.C2paError.NotSupported as error:
        raise MediaError(f"{path}: this type of file carries no credentials; mp4, mov, png and jpg do") from error
    except c2pa.C2paError.Io as error:
        raise MediaError(f"{path}: cannot be read ({error})") from error
    except c2pa.C2paError as error:  # A manifest so broken that nothing can be read from it.
        return Credentials("tampered", (str(error).strip(": "),))
    if found is None:
        return Credentials("missing")
    with found as reader:
        return _credentials(reader)


def _credentials(reader) -> Credentials:
    manifest = reader.get_active_manifest()
    assertions = {assertion["label"]: assertion["data"] for assertion in manifest["assertions"]}
    created = [action for label in assertions if label.startswith("c2pa.actions")
               for action in assertions[label]["actions"] if "digitalSourceType" in action]  # fmt: skip
    state = reader.get_validation_state()
    failures = reader.get_validation_results()["activeManifest"]["failure"]
    problems = [f["explanation"] for f in failures if f["code"] != "signingCredential.untrusted"]
    signed = manifest.get("signature_info", {})
    return Credentials(
        "valid" if state in ("Valid", "Trusted") else "tampered",
        tuple(problems),
        state == "Trusted",
        ", ".join(filter(None, (signed.get("common_name"), signed.get("issuer")))) or None,
        created[0]["digitalSourceType"].rpartition("/")[2] if created else None,
        assertions.get(RUN) or assertions.get(STUDY),
    )


def _set_origin(c2pa, builder, source: Source) -> None:
    if source == "recorded":
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        return
    kinds = {
        "trainedAlgorithmicMedia": c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
        "algorithmicMedia": c2pa.C2paDigitalSourceType.ALGORITHMIC_MEDIA,
    }
    builder.set_intent(c2pa.C2paBuilderIntent.CREATE, kinds[source])


def _context(c2pa, anchors: str | None = None):
    return c2pa.Context.from_dict(OFFLINE | ({"trust": {"trust_anchors": anchors}} if anchors else {}))


def _c2pa():
    try:
        import c2pa
    except ImportError as error:
        raise MissingPrerequisite(f"content credentials need c2pa-python: {INSTALL}") from error
    return c2pa


def _version() -> str:
    try:
        return version("au-talking-head-bench")
    except PackageNotFoundError:
        return "unknown"
