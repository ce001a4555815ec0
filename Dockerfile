# One image per service: docker build --build-arg SERVICE=order .
# What it is built of shows in /version: --build-arg COMMIT="$(git rev-parse HEAD)"
# To pin the base: --build-arg BASE=python:3.12-slim-bookworm@sha256:...
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS build
ARG SERVICE
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY scripts/uv.txt ./
RUN pip install --no-cache-dir --only-binary :all: --require-hashes -r uv.txt
COPY pyproject.toml uv.lock ./
# The source is copied below, so only what it stands on is installed here: wheels whose hashes are in
# uv.lock, and no package runs code of its own while it is installed.
RUN uv sync --frozen --no-build --no-dev --no-install-project --extra ${SERVICE}

FROM ${BASE} AS runtime
ARG SERVICE
ENV SERVICE=${SERVICE} \
    PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --system --gid 10001 service && \
    useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin service
WORKDIR /app
COPY --from=build /app/.venv .venv
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as u; s = os.environ['SERVICE'].upper(); p = os.environ.get(s + '_HTTP_PORT', '8000'); u.urlopen('http://127.0.0.1:' + p + '/health/ready', timeout=4)"]

# The operators' console, which has the rules of all services: docker build --target console --build-arg SERVICE=console .
FROM runtime AS console
COPY . .
CMD ["python", "-m", "console"]

FROM runtime
ARG SERVICE
COPY shared_events shared_events
COPY chassis chassis
ARG COMMIT
RUN if [ -n "$COMMIT" ]; then echo "$COMMIT" > chassis/commit.txt; fi
# Nothing of the other services is in the image, and nothing in it is the service's to write.
COPY ${SERVICE}_svc ${SERVICE}_svc
CMD ["sh", "-c", "exec python -m ${SERVICE}_svc"]
