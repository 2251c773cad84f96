# The operator's image: docker build -t nicplug:dev .
# Only the operator is in it: no sandbox, no compiler, no pip, nothing that is not pinned by hash.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS builder
RUN python -m venv --without-pip /venv
COPY requirements/operator.txt /tmp/operator.txt
# --no-deps: the file names everything, and nothing it does not name may come along.
RUN python -m pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /tmp/operator.txt
COPY operator/nicplug /venv/app/nicplug
# The root file system is read-only in the cluster, so byte code is made here.
RUN /venv/bin/python -m compileall -q /venv/app /venv/lib

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="nicplug" \
      org.opencontainers.image.description="Gives a running virtual machine a new network interface on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /venv /venv
COPY LICENSE /licenses/LICENSE
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/venv/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "nicplug"]
CMD ["run"]
