"""The weights lock and its downloads. Oracle: a local server with small files whose digests are computed here."""

import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest

from bench.media.errors import MissingPrerequisite, UserError
from bench.weights import Weights, describe

CONTENT = {"/net.bin": b"weights " * 5000, "/template.npy": b"template " * 100}


@pytest.fixture
def server():
    """Serves CONTENT, a zip archive of it, and a download that ends early, on a loopback port."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("folder/net.bin", CONTENT["/net.bin"])
    files = CONTENT | {"/bundle.zip": archive.getvalue()}

    class Handler(http.server.BaseHTTPRequestHandler):
        requests = 0

        def do_GET(self):
            Handler.requests += 1
            if self.path == "/cut.bin":
                self.send_response(200)
                self.send_header("Content-Length", "99999")
                self.end_headers()
                self.wfile.write(CONTENT["/net.bin"][:500])
                return
            if self.path not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[self.path])))
            self.end_headers()
            self.wfile.write(files[self.path])

        def log_message(self, *arguments): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.url = f"http://127.0.0.1:{httpd.server_port}"
        httpd.handler = Handler
        yield httpd
        httpd.shutdown()


@pytest.fixture
def make_lock(tmp_path, monkeypatch):
    """make_lock(entry, ...) -> Weights over a lock with these entries and an empty cache."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("AU_BENCH_OFFLINE", raising=False)
    monkeypatch.setenv("AU_BENCH_ASSETS", str(tmp_path / "no assets"))

    def make(*entries):
        lines = []
        for entry in entries:
            lines.append("[[file]]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
        (tmp_path / "lock.toml").write_text("\n".join(lines))
        return Weights(tmp_path / "cache", tmp_path / "lock.toml")

    return make


def entry(url=None, **changes):
    content = CONTENT["/net.bin"]
    values = {"name": "net", "file": "net.bin", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
              "licence": "MIT", "what": "a network"}  # fmt: skip
    return {key: value for key, value in (values | {"url": url} | changes).items() if value is not None}


def test_download_check_and_place(server, make_lock):
    """Oracle: the served bytes; a second fetch asks the server for nothing."""
    weights = make_lock(entry(f"{server.url}/net.bin"))
    assert weights.path("net") is None
    seen = []
    path = weights.fetch("net", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT["/net.bin"]
    assert seen[-1] == (40_000, 40_000)
    weights.fetch("net")
    assert server.handler.requests == 1
    assert weights.require(["net"]) == {"net": path}


def test_member_of_an_archive(server, make_lock):
    """Oracle: the archive's member; the archive itself is not kept."""
    weights = make_lock(entry(f"{server.url}/bundle.zip", member="folder/net.bin"))
    assert weights.fetch("net").read_bytes() == CONTENT["/net.bin"]
    assert [path.name for path in weights.folder.iterdir()] == ["net.bin"]


@pytest.mark.parametrize(
    "pin",
    [
        {"sha256": None, "sha256_prefix": hashlib.sha256(CONTENT["/net.bin"]).hexdigest()[:8]},
        {"sha256": None, "git_blob": hashlib.sha1(b"blob 40000\0" + CONTENT["/net.bin"]).hexdigest()},
        {"sha256": None, "size": None},
    ],
)
def test_other_pins(server, make_lock, pin):
    """Oracle: hashlib and git's blob formula; without any public pin the first download is recorded."""
    weights = make_lock(entry(f"{server.url}/net.bin", **pin))
    path = weights.fetch("net")
    assert weights.path("net") == path
    path.write_bytes(b"other" * 8000)
    assert weights.path("net") is None


def test_wrong_bytes_are_not_kept(server, make_lock):
    """Oracle: the message and the empty folder."""
    weights = make_lock(entry(f"{server.url}/net.bin", sha256="0" * 64))
    with pytest.raises(
        UserError, match=r"net: the file has sha256 .* pinned is net\.bin \(0\.0 MB, sha256 0000.*not kept"
    ):
        weights.fetch("net")
    assert list(weights.folder.iterdir()) == []


def test_a_pointer_is_not_the_file(make_lock, tmp_path):
    """A file without a public digest would be pinned by its first bytes, whatever they are."""
    pointer = tmp_path / "net.bin"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3430000000\n")
    weights = make_lock(entry(sha256=None, size=None))
    with pytest.raises(UserError, match="Git LFS pointer.*git lfs pull"):
        weights.adopt("net", pointer)
    assert weights.path("net") is None


def test_network_troubles_say_what_to_do(server, make_lock):
    """Oracle: the messages for a cut connection, a missing page and no server."""
    with pytest.raises(UserError, match=r"cannot be downloaded|the connection ended after 500 of 99999 bytes"):
        make_lock(entry(f"{server.url}/cut.bin")).fetch("net")
    with pytest.raises(UserError, match=r"404.*python -m bench fetch net --from FILE"):
        make_lock(entry(f"{server.url}/gone.bin")).fetch("net")
    with pytest.raises(UserError, match="cannot be downloaded"):
        make_lock(entry("http://127.0.0.1:9/net.bin")).fetch("net")


def test_offline_never_asks(server, make_lock, monkeypatch):
    """Oracle: the server's request count, for both switches."""
    for variable in ("AU_BENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "1")
        with pytest.raises(UserError, match="forbids the download"):
            make_lock(entry(f"{server.url}/net.bin")).fetch("net")
        monkeypatch.delenv(variable)
    assert server.handler.requests == 0


def test_a_file_the_user_has(make_lock, tmp_path):
    """Oracle: adopted when its bytes match the pin, refused when not; nothing without a URL is downloaded."""
    weights = make_lock(entry(how="Ask the authors,"))
    with pytest.raises(UserError, match=r"cannot be downloaded by a program. Ask the authors"):
        weights.fetch("net")
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT["/net.bin"])
    assert weights.adopt("net", mine).read_bytes() == CONTENT["/net.bin"]
    mine.write_bytes(b"x" * 40_000)
    with pytest.raises(UserError, match="not kept"):
        weights.adopt("net", mine)


def test_missing_files_are_named_with_the_command(make_lock):
    """Oracle: file, digest, licence, size and command are in the message."""
    weights = make_lock(entry("http://127.0.0.1:9/net.bin"))
    with pytest.raises(MissingPrerequisite) as caught:
        weights.require(["net"])
    message = str(caught.value)
    assert describe(weights.files["net"]) in message
    for part in ("net.bin", "0.0 MB", weights.files["net"].sha256, "MIT", "python -m bench fetch net"):
        assert part in message


def test_files_in_the_assets_count_by_content(make_lock, tmp_path, monkeypatch):
    """Oracle: the same bytes under another name in the assets' models folder; other bytes of equal size do not count."""
    models = tmp_path / "assets" / "models"
    models.mkdir(parents=True)
    (models / "other name.bin").write_bytes(CONTENT["/net.bin"])
    monkeypatch.setenv("AU_BENCH_ASSETS", str(tmp_path / "assets"))
    weights = make_lock(entry("http://127.0.0.1:9/net.bin"))
    assert weights.path("net") == models / "other name.bin"
    (models / "other name.bin").write_bytes(b"y" * 40_000)
    assert weights.path("net") is None


def test_the_lock_itself():
    """Oracle: its own schema: unique names; a pin, or a documented reason; a URL, or a way; digests of the right length."""
    files = Weights().files
    assert len(files) >= 20
    for name, file in files.items():
        assert file.url or file.how, name
        assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
        assert file.pin == "sha256" or file.how, f"{name} can be downloaded and must be pinned"


def test_every_extractor_asks_for_files_of_the_lock():
    """Oracle: the lock's names."""
    from bench import registry

    files = Weights().files
    for name in registry.EXTRACTORS:
        extractor = registry.extractor(name)
        assert extractor.name == name
        assert set(extractor.weights) <= set(files), name


def test_a_shipped_file_is_taken_from_the_repository_as_it_is(tmp_path, monkeypatch):
    """Oracle: the lock's own path; nothing is downloaded, and a lost file names the command that makes it again."""
    lock = tmp_path / "lock.toml"
    lock.write_text(
        '[[file]]\nname = "small"\nfile = "small.bin"\nshipped = "nets/small.bin"\nlicence = "MIT"\nwhat = "a net"\n'
        'how = "python -m bench train small"\n'
    )
    monkeypatch.setattr("bench.weights.SHIPPED_ROOT", tmp_path)
    weights = Weights(tmp_path / "cache", lock)
    assert weights.missing(["small"]).endswith("python -m bench train small")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "small.bin").write_bytes(b"anything")
    assert weights.require(["small"]) == {"small": tmp_path / "nets" / "small.bin"}
    assert weights.files["small"].pin == "shipped"
