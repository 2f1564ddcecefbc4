# The service's image. `docker build -t acequia .`; the classic builder and BuildKit both take it.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Versions and hashes are locked.
COPY requirements/build.txt requirements/service.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
RUN python -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --require-hashes -r requirements/service.txt
# What the service never loads, a quarter of these packages: Arrow's own S3 and Flight, its headers and tests, and the
# descriptions of AWS services that are not called here.
RUN cd /opt/venv/lib/python3*/site-packages \
 && rm -rf pyarrow/include pyarrow/tests pyarrow/*flight* pyarrow/*_s3* pyarrow/_s3fs* \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name sqs ! -name s3 ! -name sns ! -name sts ! -name sso ! -name sso-oidc ! -name secretsmanager \
    ! -name redshift ! -name redshift-serverless -exec rm -rf {} +
COPY pyproject.toml README.md ./
COPY service service
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-deps --target /opt/acequia /dist/*.whl \
 && PYTHONPATH=/opt/acequia /opt/venv/bin/python -c "import service.cli"

FROM ${BASE}
# Nothing that installs software is left; the paths are those of Python's own images and of Debian's Python.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    /usr/bin/pip* /usr/lib/python3/dist-packages/pip* /usr/lib/python3*/ensurepip
# The packages are a layer of their own, so that a release of the service is a few megabytes to push and to pull.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/acequia /opt/acequia
COPY datasets /opt/acequia/datasets
COPY sql /opt/acequia/sql
# With the allocators of libc, and few arenas, the peak of memory is a fifth lower: docs/container.md has the figures.
ENV PATH=/opt/acequia/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/acequia \
    ACEQUIA_DATASETS_DIRECTORY=/opt/acequia/datasets \
    ACEQUIA_SQL_DIRECTORY=/opt/acequia/sql \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    ARROW_DEFAULT_MEMORY_POOL=system \
    MALLOC_ARENA_MAX=2 \
    PYTHONUNBUFFERED=1
# The one place that it may write to. A task volume takes its mode from here only because it is declared.
VOLUME ["/tmp"]
USER 10001:10001
EXPOSE 9100
STOPSIGNAL SIGTERM
# In exec form: the service is process 1 and gets SIGTERM itself.
ENTRYPOINT ["acequia"]
CMD ["run"]
