# The image of Coscribe: server, web editor and compiled core, with what a cluster takes (PostgreSQL, NATS, traces).
#
#     docker build -t coscribe .
#     docker run --network host -v coscribe:/data coscribe      # http://127.0.0.1:8777, SQLite in the volume
#
# Both stages stand on one image with Python and pip; another one (a mirror, a newer Python) is BASE_IMAGE. Everything
# from PyPI and npm is what the lock files name, by hash; packages of Debian are those of the base image's release.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- What builds: a C compiler, mypyc, Node. None of it is in the image. -------------------------------------------
FROM ${BASE_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# What the server is run with, where it will be. pip goes again: nothing is installed into the finished image.
COPY deploy/requirements.lock deploy/build.lock deploy/
RUN python3 -m venv /opt/coscribe \
    && /opt/coscribe/bin/pip install --no-cache-dir --no-deps --require-hashes -r deploy/requirements.lock \
    && cp -a /opt/coscribe .venv \
    && .venv/bin/python3 -m pip install --no-cache-dir --no-deps --require-hashes -r deploy/build.lock

COPY web/package.json web/package-lock.json web/
COPY web/packages/client/package.json web/packages/client/
COPY web/packages/editor/package.json web/packages/editor/
COPY tools/web.sh tools/
RUN tools/web.sh .venv/bin --install
COPY web web
RUN tools/web.sh .venv/bin

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY tools/compile.py tools/
COPY src src
RUN PYTHONPATH=src .venv/bin/python3 tools/compile.py \
    && test -e build/compiled/fingerprint \
    && .venv/bin/python3 -m hatchling build -t wheel \
    && /opt/coscribe/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
    && /opt/coscribe/bin/pip uninstall --yes pip setuptools \
    && /opt/coscribe/bin/python3 -m compileall -qq -j 0 /opt/coscribe/lib

# ---- What runs ------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS image
# git and ssh are for workspaces that are kept as files; tini is process 1 and reaps what git leaves.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin coscribe \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/coscribe /opt/coscribe

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Coscribe" \
      org.opencontainers.image.description="A server-authoritative, real-time collaborative text engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/coscribe/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    COSCRIBE_FOLDER=/data
# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8777
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python3", "-Ic", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8777/readyz', timeout=4)"]
# It listens on loopback. Behind a proxy: `serve --host 0.0.0.0`, with COSCRIBE_TRUSTED_PROXIES and COSCRIBE_PUBLIC_URL.
# 143 is an orderly end, too.
ENTRYPOINT ["tini", "-e", "143", "--", "coscribe"]
CMD ["serve"]
