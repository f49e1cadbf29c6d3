"""What a docstring says about a function and its parameters, in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re

__all__ = ["describe"]

# A docstring without any such line is all text, and needs no parser.
_SECTIONS = re.compile(r"^[ \t]*(?:[A-Z][A-Za-z ]*:[ \t]*$|-{3,}[ \t]*$|[:@][a-z]+\b.*:)", re.MULTILINE)

_SPHINX = re.compile(
    r"^[ \t]*:(?:arg|argument|except|exception|key|keyword|param|parameter|raises?|returns?|rtype|type)\b[^:\n]*:",
    re.MULTILINE,
)
_NUMPY = re.compile(
    r"^[ \t]*(?:other parameters|parameters|raises|receives|returns|warns|yields)[ \t]*\n[ \t]*-{3,}[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)


def describe(docstring: str | None) -> tuple[str, dict[str, str]]:
    """Return the text of a docstring and the descriptions of the parameters by name.

    Sections other than text (what is returned, raised, shown as an example) are for readers of the code and left out.
    """
    text = inspect.cleandoc(docstring or "")
    if _SECTIONS.search(text) is None:
        return text, {}
    import griffe  # heavy: only where a docstring has sections

    found = griffe.Docstring(text)
    if _SPHINX.search(text):
        parsed = griffe.parse_sphinx(found, warnings=False)
    elif _NUMPY.search(text):
        parsed = griffe.parse_numpy(found, warnings=False)
    else:
        parsed = griffe.parse_google(found, warnings=False)
    parameters: dict[str, str] = {}
    texts: list[str] = []
    for section in parsed:
        if isinstance(section, griffe.DocstringSectionText):
            texts.append(section.value.strip())
        elif isinstance(section, griffe.DocstringSectionParameters | griffe.DocstringSectionOtherParameters):
            for parameter in section.value:
                if parameter.description.strip():
                    parameters[parameter.name.lstrip("*")] = " ".join(parameter.description.split())
    return "\n\n".join(part for part in texts if part), parameters
