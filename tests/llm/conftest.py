"""Every test of the client runs over both wires."""

import pytest

from hotloop.llm import asking
from hotloop.llm.wire import open_wire


@pytest.fixture(params=["httpx2", "pyreqwest"])
def wire(request, monkeypatch):
    """Make `llm_client.wire` this one, whatever the test configures besides."""

    def opened(config, http):
        return open_wire(config.replace(llm_client={"wire": request.param}), http)

    monkeypatch.setattr(asking, "open_wire", opened)
    return request.param
