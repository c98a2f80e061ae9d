# The image of the step. Build: docker build -t bedrock-batch-processing .   See docs/deployment.md.
#
# Two optional build secrets serve closed networks and are never part of a layer:
#   --secret id=ca_bundle,src=FILE    the certificates that pip trusts
#   --secret id=pip_config,src=FILE   pip's configuration, for another package index and its credentials
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/venv
COPY constraints.txt src/requirements.txt /build/
RUN --mount=type=secret,id=ca_bundle --mount=type=secret,id=pip_config \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    if [ -s /run/secrets/pip_config ]; then export PIP_CONFIG_FILE=/run/secrets/pip_config; fi; \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: \
        --constraint /build/constraints.txt --requirement /build/requirements.txt
# The step does not need the headers, sources and tests of packages, which are a quarter of the image.
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf pandas/tests pyarrow/tests pyarrow/include pyarrow/src numpy/_core/include \
    && find . -name '*.pyx' -delete && find . -name '*.pxd' -delete
COPY src/bedrock_batch_processing.py /opt/bedrock-batch/
COPY src/bedrock_batch /opt/bedrock-batch/bedrock_batch
# Compile now, because the user that runs the step may have no right to write next to its sources.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/bedrock-batch

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="bedrock-batch-processing" \
      org.opencontainers.image.description="A SageMaker processing step for Amazon Bedrock batch inference" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/bedrock-batch /opt/bedrock-batch
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
# SageMaker mounts /opt/ml for root, so a processing container must run as root to write its outputs there. The image
# itself needs no root rights: elsewhere, build it for another user or start it with `--user`.
ARG RUN_AS=root
USER ${RUN_AS}
# The exec form makes the step process 1, which receives SIGTERM. There is no HEALTHCHECK, because a job is not a service.
ENTRYPOINT ["/opt/venv/bin/python", "/opt/bedrock-batch/bedrock_batch_processing.py"]
