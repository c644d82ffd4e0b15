# Three images from one file:
#
#   docker build --target cpu -t yolo-lineage:cpu .              serves on a CPU; no torch
#   docker build --target gpu -t yolo-lineage:gpu .              serves on an NVIDIA GPU (driver 580 or newer: CUDA 13)
#   docker build --target training -t yolo-lineage:training .    imports, exports and trains
#
# --build-arg PIP_INDEX_URL=... or PIP_EXTRA_INDEX_URL=... names another package index, e.g. PyTorch's for the CPU.

FROM python:3.11-slim-bookworm AS base
RUN useradd --create-home --uid 10001 lineage \
    && install --directory --owner=lineage --group=lineage /models /runs \
    && ln --symbolic /models /home/lineage/models
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LINEAGE_HOST=0.0.0.0 \
    LINEAGE_PORT=8000

# Packages first, from the project's metadata alone, so that a change of the code does not install them again.
FROM base AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/venv
WORKDIR /packages
COPY pyproject.toml LICENSE ./
COPY requirements/*.txt requirements/
RUN touch README.md

# Alive, not ready, is what counts: a server whose repository is still empty waits for a model and should not be restarted.
# It works where ./models is /models, so that it serves the model it comes with until there is another.
FROM base AS serve
COPY docker/lineage-health /usr/local/bin/
USER lineage
WORKDIR /home/lineage
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["lineage-health", "live"]
ENTRYPOINT ["lineage"]
CMD ["serve"]

FROM build AS build-cpu
RUN pip --python /opt/venv/bin/python install --constraint requirements/lock.txt ".[cpu]"
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
RUN pip --python /opt/venv/bin/python install \
    --constraint requirements/lock.txt --constraint requirements/gpu.txt ".[gpu]"
COPY . /src
RUN pip --python /opt/venv/bin/python install --no-deps --force-reinstall /src

FROM serve AS gpu
# The wheels of CUDA, cuDNN and TensorRT keep their libraries to themselves; ONNX Runtime's providers link them by name.
ENV LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib:/opt/venv/lib/python3.11/site-packages/tensorrt_libs \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/venv /opt/venv

# What a plain `docker build .` makes.
FROM cpu
