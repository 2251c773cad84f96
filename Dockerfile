# The image of operator and API: `make image`, or `docker build -t nicplug:dev .`. docs/releasing.md says what is in it.
# Everything is pinned: base images by digest (the tag beside it is for people and Dependabot), packages by hash.

# Debian 13 and Python 3.13 both: what is compiled in the one runs in the other.
ARG BUILDER=docker.io/library/python:3.13-slim-trixie@sha256:3dd7cc108ec1493442514f5c2a871af6af0ec31d768ff6e378a93340c3b3db5f
# Python and what it needs: no shell, no package manager, no pip, no compiler.
ARG BASE=gcr.io/distroless/python3-debian13:nonroot@sha256:83aa8d4f74a4d7f7cf2d472054139bef71a927b76c680c0f2e1021d6b1d6d732

FROM ${BUILDER} AS builder
# Where pip looks instead of its index: a mirror, or a mounted folder (`--build-arg PIP_NO_INDEX=1`).
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
COPY requirements/operator.txt /build/operator.txt
# --no-deps: the file names everything, and nothing that it does not name may come along. Wheels only: no compiler here.
# The synchronous client and the generated API classes are two thirds of all bytes, and nicplug imports neither
# (tests/unit/test_image.py).
RUN python3 -m pip install --no-cache-dir --no-compile --no-deps --only-binary=:all: --require-hashes \
        --target /app/lib -r /build/operator.txt \
    && rm -rf /app/lib/bin /app/lib/kubernetes/client /app/lib/kubernetes/aio/client/api
COPY operator/nicplug /app/nicplug
COPY LICENSE /licenses/LICENSE
# The root file system is read-only in the cluster, so byte code is made here. Nothing changes the sources afterwards, so
# it is not compared with them; with a fixed hash seed, two builds make the same.
RUN PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R a+rX,go-w /app /licenses

FROM ${BASE}
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="nicplug" \
      org.opencontainers.image.description="Gives a running virtual machine a new network interface on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=builder /licenses /licenses
# Two layers: packages change less often than nicplug does.
COPY --from=builder /app/lib /app/lib
COPY --from=builder /app/nicplug /app/nicplug
# No module is taken from the working directory.
ENV PYTHONPATH=/app:/app/lib \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
EXPOSE 8080 8443
ENTRYPOINT ["/usr/bin/python3", "-m", "nicplug"]
CMD ["run"]
