# The service in a container: the network of 8 bits inside, no PyTorch, no root.
#   docker build -t mnist-lightning . && docker run --rm --init -p 8000:8000 mnist-lightning
# Another network: -v "$PWD/mnist.onnx:/srv/mnist.onnx:ro" and `ckpt=/srv/mnist.onnx` behind the image's name.

FROM python:3.11-slim AS build
# The lock names the checksum of each file.
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY docker/serve.lock docker/serve.lock
RUN uv venv /app/venv && uv pip install --python /app/venv/bin/python --require-hashes -r docker/serve.lock
COPY mnist_lightning mnist_lightning
RUN /app/venv/bin/python -m compileall -q mnist_lightning

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home service
WORKDIR /app
COPY --from=build /app/venv venv
COPY --from=build /app/mnist_lightning mnist_lightning
COPY conf conf
COPY scripts/serve.py scripts/serve.py
ENV PATH=/app/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["python", "scripts/serve.py", "host=0.0.0.0", "port=8000", "ckpt=mnist_lightning/pretrained/mnist.int8.onnx"]
