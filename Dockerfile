# Build one of three images:
#
#   docker build --target cpu -t yolo-lineage:cpu .              server on CPU, without torch
#   docker build --target gpu -t yolo-lineage:gpu .              server on an NVIDIA GPU (CUDA 13, driver 580 or newer)
#   docker build --target training -t yolo-lineage:training .    import, export and training
#
# For gRPC, ZeroMQ or HEIF, add --build-arg EXTRAS=cpu,grpc,zmq,heif (or gpu,grpc,zmq,heif).
# To use another package index, such as PyTorch's for CPU, add --build-arg PIP_INDEX_URL=... or PIP_EXTRA_INDEX_URL=...

FROM python:3.11-slim-bookworm AS base
LABEL org.opencontainers.image.title="YOLO Lineage" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 10001 lineage \
    && install --directory --owner=lineage --group=lineage /models /runs \
    && ln --symbolic /models /home/lineage/models
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LINEAGE_HOST=0.0.0.0 \
    LINEAGE_PORT=8000

# Dependencies are installed from pyproject.toml first, so that this layer stays cached when the code changes.
FROM base AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/venv
WORKDIR /packages
COPY pyproject.toml LICENSE ./
COPY requirements/*.txt requirements/
RUN touch README.md

# The health check asks for liveness, not readiness: a server without models must not be restarted.
# In the working directory, ./models is /models: while that is empty, the bundled model is served.
FROM base AS serve
COPY docker/lineage-health /usr/local/bin/
USER lineage
WORKDIR /home/lineage
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["lineage-health", "live"]
ENTRYPOINT ["lineage"]
CMD ["serve"]

# Tests inside packages are removed: 17 MB, most of it NumPy's.
FROM build AS build-cpu
ARG EXTRAS=cpu
RUN pip --python /opt/venv/bin/python install --constraint requirements/lock.txt ".[${EXTRAS}]" \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +
COPY . /src
RUN pip --python /opt/venv/bin/python install --no-deps --force-reinstall /src

FROM serve AS cpu
COPY --from=build-cpu /opt/venv /opt/venv

FROM build AS build-training
RUN pip --python /opt/venv/bin/python install --constraint requirements/lock.txt ".[training]"
COPY . /src
RUN pip --python /opt/venv/bin/python install --no-deps --force-reinstall /src

FROM base AS training
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-training /opt/venv /opt/venv
USER lineage
WORKDIR /home/lineage
STOPSIGNAL SIGTERM
ENTRYPOINT ["lineage"]
CMD ["--help"]

FROM build AS build-gpu
ARG EXTRAS=gpu
RUN pip --python /opt/venv/bin/python install \
    --constraint requirements/lock.txt --constraint requirements/gpu.txt ".[${EXTRAS}]" \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +
COPY . /src
RUN pip --python /opt/venv/bin/python install --no-deps --force-reinstall /src

FROM serve AS gpu
# ONNX Runtime's providers link the libraries of the CUDA, cuDNN and TensorRT wheels by name only.
ENV LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib:/opt/venv/lib/python3.11/site-packages/tensorrt_libs \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/venv /opt/venv

# Default target of `docker build .`.
FROM cpu
