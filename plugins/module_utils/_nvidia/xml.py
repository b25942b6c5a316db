# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the XML of nvidia-smi: a safe root element, and values that are values."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

#: What nvidia-smi writes where it has no value (lower case, without the brackets some versions put around it).
NO_VALUE = frozenset(
    (
        "",
        "n/a",
        "not supported",
        "not available",
        "not found",
        "function not found",
        "unknown",
        "unknown error",
        "err!",
        "error",
        "gpu is lost",
        "gpu requires reset",
        "insufficient permissions",
        "requested functionality has been deprecated",
    )
)
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z%/]*)")
_WORDS = {"enabled": True, "yes": True, "on": True, "active": True, "disabled": False, "no": False, "off": False}


_DOCTYPE = re.compile(r'<!DOCTYPE\s+nvidia_smi_log\s+SYSTEM\s+"(?:nvsmi_device_(v\d+)\.dtd|[^"\[\]<>]*)"\s*>')
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class DocumentError(Exception):
    """The text is no document of nvidia-smi's."""


def split_document(output: str) -> tuple[str, str]:
    """Return the document in an output, and the text around it (nvidia-smi prints its warnings there)."""
    end = output.rfind("</nvidia_smi_log>")
    starts = (output.find(word, 0, max(end, 0)) for word in ("<?xml", "<!DOCTYPE", "<nvidia_smi_log"))
    start = min((start for start in starts if start >= 0), default=-1)
    if end < 0 or start < 0:
        return "", output
    end += len("</nvidia_smi_log>")
    return output[start:end], f"{output[:start]}\n{output[end:]}"


def read_document(document: str) -> tuple[Element, str | None]:
    """Return the root element and the schema's name. nvidia-smi declares no entities: a document that could is refused."""
    doctype = _DOCTYPE.search(document)
    plain = _DOCTYPE.sub("", document, count=1)
    if "<!DOCTYPE" in plain or "<!ENTITY" in plain:
        raise DocumentError("a document type of its own, or entities")
    schema = doctype.group(1) if doctype else None
    try:
        return _root(plain), schema
    except DocumentError:
        # A process may be named anything, and not every version escapes that.
        return _root(_NOT_XML.sub("", _without_process_names(plain))), schema


def _without_process_names(plain: str) -> str:
    head, *pieces = plain.split("<process_name>")
    return head + "".join("<process_name/>" + piece.partition("</process_name>")[2] for piece in pieces)


def _root(plain: str) -> Element:
    try:
        root = ElementTree.fromstring(plain)
    except (ElementTree.ParseError, ValueError) as error:
        raise DocumentError(str(error)) from error
    if root.tag != "nvidia_smi_log":
        raise DocumentError(f"the root element is {root.tag[:40]}")
    return root


def text(element: Element, path: str) -> str | None:
    """Return the text at ``path``; None where there is none or it only says so."""
    found = (element.findtext(path) or "").strip()
    return None if bare(found) in NO_VALUE else found


def number(element: Element, path: str, *units: str) -> float | None:
    """Return the number at ``path``; None in any unit but those named."""
    found = _NUMBER.fullmatch(text(element, path) or "")
    if found is None or (found.group(2) and found.group(2) not in units):
        return None
    return float(found.group(1))


def whole(element: Element, path: str, *units: str) -> int | None:
    found = number(element, path, *units)
    return None if found is None else int(found)


def flag(element: Element, path: str) -> bool | None:
    return _WORDS.get((text(element, path) or "").lower())


def bare(value: str | None) -> str:
    return (value or "").strip().strip("[]").strip().lower()
