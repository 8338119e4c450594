"""Pages: templates with every text escaped, the one stylesheet and the one script, and file names from any text.

A page asks for nothing but files beside it, and says so in a content security policy: a text of a run that got past the
escaping would still not run as a script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from bench.media.errors import UserError

TEMPLATES = Path(__file__).parent / "templates"
SLUG_LENGTH = 48
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that show nothing and turn the text around them, or cut it off."""


def render(template: str, root: str = "", **values: Any) -> str:
    """A page of a site, with the stylesheet and the script beside it.

    Args:
        template: file below templates/.
        root: the way from the page to the folder with style.css and site.js, "" or "../" and so on.
        values: for the template; every text in them is escaped.
    """
    policy = _policy("'self' file:", "'self' file:")
    return _environment().get_template(template).render(root=root, policy=policy, inline=None, **values)


def self_contained(template: str, **values: Any) -> str:
    """A page that is one file: stylesheet and script inside, pictures and videos as data."""
    script = asset("site.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _policy(f"'sha256-{digest}'", "")
    inline = {"style": asset("style.css"), "script": script}
    return _environment().get_template(template).render(root="", policy=policy, inline=inline, **values)


def asset(name: str) -> str:
    """Text of style.css or site.js."""
    return (TEMPLATES / name).read_text("utf-8")


def slug(text: str) -> str:
    """A file name that is safe everywhere and different for different texts: what is plain in the text, and a digest."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:SLUG_LENGTH].strip("-")
    return f"{plain or 'x'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a data: address.

    Args:
        content: of the file.
        kind: its media type, for example image/png.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _policy(scripts: str, files: str) -> str:
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline' {files}; img-src data: {files}; "
        f"media-src data: blob: {files}; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment():
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise UserError("pages need the Python package jinja2: pip install -e '.[report]'") from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_visible,
    )  # fmt: skip
    environment.filters["name"] = _name
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    return environment


def _name(text: str):
    """A label that may be broken after an underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in _visible(text).split("_"))


def _visible(value: Any) -> Any:
    """A text with a replacement character for what is not to be seen in it; escaping comes after."""
    return UNSEEN.sub("\ufffd", value) if type(value) is str else value
