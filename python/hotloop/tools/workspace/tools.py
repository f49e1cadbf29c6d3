"""The tools of a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core import __version__
from .change import changing
from .command import commanding
from .look import looking
from .place import Place

if TYPE_CHECKING:
    from os import PathLike

    from ..approval import Approval
    from ..tool import Tool

__all__ = ["workspace_tools"]


def workspace_tools(
    root: str | PathLike[str],
    *,
    write: bool = True,
    commands: bool = False,
    network: bool = False,
    approval: Approval = "never",
) -> list[Tool]:
    """Return the tools for the files of a folder.

    list_directory, read_file, grep_file and find_files look; write_file and edit_file change; run_command runs.

    The tools for files never leave the folder: `..`, absolute paths and links that lead out of it are refused, also
    when a file is swapped for a link meanwhile. What `.gitignore` names is neither listed nor searched; it can be read
    by its name. Git's own folder is not written.

    A command is a program with the rights of its user. Where bubblewrap works it can write to the workspace only;
    elsewhere nothing but its good behaviour keeps it there, and each result says so.

    Args:
        root: the folder.
        write: whether there are tools that change files.
        commands: whether there is a tool that runs commands.
        network: whether a sandboxed command reaches the network.
        approval: whether a person is asked before a file is changed or a command is run; as for `tool`.

    Raises:
        WorkspaceError: the folder is not there, is no folder, or may not be read.
    """
    place = Place(root)
    tools = looking(place)
    for made in tools:
        # what they close over is in the version of what they read, so their results outlive the process
        made.identity = f"hotloop.workspace.{made.name}/{__version__}"
    if write:
        tools += changing(place, approval)
    if commands:
        tools += commanding(place, approval, network=network)
    return tools
