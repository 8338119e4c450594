"""Whether a system is ready on this machine, and what is missing."""

import pytest

from methods.baselines.place import Place
from methods.baselines.system import SYSTEMS, read_system
from tests.methods.baselines.stand_in import NAME


def lacks(made) -> str | None:
    return made.method.missing(made.method.Config())


def test_a_set_up_system_lacks_nothing(stand_in):
    """Oracle: a clone, an environment and a checkpoint, all here."""
    made = stand_in()
    assert lacks(made) is None
    assert made.method.own_files(made.method.Config()) == {
        "checkpoints/model.pth": made.place.repository / "checkpoints" / "model.pth"
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_empty_machine_lacks_everything(name, monkeypatch, tmp_path):
    """Oracle: the data file and the command of the command line."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    system = read_system(name)
    message = Place(name, system).missing(system.commit)
    count = len(list(system.files()))
    assert (
        f"{system.repository} at {system.commit[:10]}" in message and f"Python {system.environment.python}" in message
    )
    assert f"{count} of {count} checkpoints" in message and f"python -m bench fetch {name}" in message
    assert all(f"install {program}" in message for program in system.environment.programs)
    assert all(group.page in message for group in system.checkpoints if group.page)


def test_another_commit_is_told(stand_in):
    """Oracle: git's HEAD."""
    made = stand_in()
    config = made.method.Config(commit="f" * 40)
    assert f"its repository at ffffffffff (it is at {made.system.commit[:10]}; --set commit={made.system.commit}" in (
        made.method.missing(config)
    )


def test_a_changed_clone_is_not_the_published_one(stand_in):
    """Oracle: git, before and after the change is a commit of its own."""
    made = stand_in()
    (made.place.repository / "helper.py").write_text("WHAT = 'a patch'\n")
    assert "its repository unchanged" in lacks(made) and "--set commit=" in lacks(made)
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    made.place.git(*identity, "commit", "--quiet", "-a", "-m", "patch")
    patched = made.place.git("rev-parse", "HEAD").stdout.strip()
    assert patched != made.system.commit and made.method.missing(made.method.Config(commit=patched)) is None


def test_a_folder_that_is_no_clone(stand_in, tmp_path):
    """Oracle: an unpacked archive, below another repository."""
    made = stand_in()
    (made.place.repository / ".git").rename(made.place.folder / ".git")
    assert "needs its repository (https://example.org/stand-in at " in lacks(made)


def test_an_unfinished_environment_is_not_one(stand_in):
    """Oracle: the mark that stands while it is made."""
    made = stand_in()
    made.place.unfinished.touch()
    assert "one was begun and not finished" in lacks(made)


@pytest.mark.parametrize("content", [None, "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "other size"])
def test_a_checkpoint_that_is_none(stand_in, content):
    """Oracle: no file, a Git LFS pointer, a file of another size than published."""
    group = {"into": "checkpoints", "files": ["model.pth"], "licence": "none", "hub": "a/b", "size": {"model.pth": 7}}
    made = stand_in(checkpoints=[group])
    assert lacks(made) is None
    file = made.place.repository / "checkpoints" / "model.pth"
    file.write_text(content) if content else file.unlink()
    assert lacks(made) == f"needs 1 of 1 checkpoints (checkpoints/model.pth): python -m bench fetch {NAME}"


def test_any_file_of_a_pattern_will_do(stand_in):
    """Oracle: file names."""
    made = stand_in(
        checkpoints=[{"into": "checkpoints", "files": ["*.bin", "m*.pth"], "licence": "none", "hub": "a/b"}]
    )
    assert "1 of 2 checkpoints (checkpoints/*.bin)" in lacks(made)
    (made.place.repository / "checkpoints" / "unet.bin").write_text("weights")
    assert lacks(made) is None
    assert set(made.method.own_files(made.method.Config())) == {"checkpoints/model.pth", "checkpoints/unet.bin"}


def test_what_only_a_person_can_download(stand_in):
    """Oracle: the page and the place, and no command that could not do it."""
    group = {"into": "checkpoints", "files": ["form.pth"], "licence": "form", "page": "https://example.org/form"}
    made = stand_in(checkpoints=[group])
    target = made.place.repository / "checkpoints" / "form.pth"
    assert lacks(made) == (
        "needs 1 of 1 checkpoints (checkpoints/form.pth): "
        f"download checkpoints/form.pth by hand from https://example.org/form to {target}"
    )


def test_programs_are_looked_for(stand_in, monkeypatch, tmp_path):
    """Oracle: PATH, with the environment's own programs first."""
    recipe = {"python": "3.11", "install": [], "programs": ["python", "no-such-program"]}
    made = stand_in(environment=recipe)
    assert lacks(made) == "needs the program no-such-program: install no-such-program"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs the program git on PATH, to tell at which commit its repository is, the program no-such" in lacks(
        made
    )
