"""Fixtures of the servers that tests talk to."""

import pytest

from .redis_server import RedisServer

__all__ = ["own_redis", "redis_process", "redis_server"]


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory):
    """The server behind `redis_server`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_server(redis_process):
    """A running server, empty; not to be paused or killed."""
    redis_process.client.flushall()
    return redis_process


@pytest.fixture
def own_redis(tmp_path):
    """A running server of the test's own, with the password "hunter2-secret"; to be paused or killed at will."""
    server = RedisServer(tmp_path, "hunter2-secret")
    yield server
    server.kill()
