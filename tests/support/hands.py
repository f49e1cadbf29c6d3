"""The tools of a workspace, at hand."""

from hotloop.tools import workspace_tools


class Hands:
    """The tools, called with validated arguments."""

    def __init__(self, root, **options):
        self.tools = {made.name: made for made in workspace_tools(root, **options)}

    def __getattr__(self, name):
        made = self.tools[name]
        return lambda **args: made.invoke(made.validate(args))
