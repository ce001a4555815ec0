# One image per service: docker build --build-arg SERVICE=order .
FROM python:3.12-slim AS build
ARG SERVICE
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir "uv>=0.13,<1"
WORKDIR /app
COPY pyproject.toml uv.lock ./
# The source is copied below, so only what it stands on is installed here.
RUN uv sync --frozen --no-dev --no-install-project --extra ${SERVICE}

FROM python:3.12-slim
ARG SERVICE
ENV SERVICE=${SERVICE} \
    PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --no-create-home --uid 10001 service
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY shared_events shared_events
COPY chassis chassis
# Nothing of the other services is in the image.
COPY ${SERVICE}_svc ${SERVICE}_svc
USER service
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as u; s = os.environ['SERVICE'].upper(); p = os.environ.get(s + '_HTTP_PORT', '8000'); u.urlopen('http://127.0.0.1:' + p + '/health/ready', timeout=4)"]
CMD ["sh", "-c", "exec python -m ${SERVICE}_svc"]
