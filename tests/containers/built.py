"""The service's image of what lies here, for every test that starts it."""

import os
from contextlib import closing
from functools import cache

import docker

from service.settings import PROJECT

IMAGE = "acequia:test"


@cache
def built() -> str:
    """Its name. Built by the classic builder once a session, whoever asks; layers that did not change are kept."""
    base = os.environ.get("ACEQUIA_LOCAL_BASE_IMAGE")
    with closing(docker.from_env(timeout=600)) as engine:
        engine.images.build(path=str(PROJECT), tag=IMAGE, rm=True, buildargs={"BASE": base} if base else {})
    return IMAGE
