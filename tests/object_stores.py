"""A server that speaks S3, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# For tests with the fixture `store`.
IN_A_FOLDER_AND_A_BUCKET = pytest.mark.parametrize("store", ["file", "s3"], indirect=True)
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server with the bucket `bucket`; yields what a URI says after its `?`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    try:
        host, port = server.get_host_and_port()
        where = f"scheme=http&endpoint_override={host}:{port}"
        make_bucket(where)
        yield where
    finally:
        server.stop()


def make_bucket(where: str) -> None:
    from pyarrow import fs

    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        files, bucket = fs.FileSystem.from_uri(f"s3://bucket?{where}&allow_bucket_creation=true")
        files.create_dir(bucket)
